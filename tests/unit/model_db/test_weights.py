"""A registered model with weights in other files: listed, counted in its digest, and removed with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlpatterns.errors import InvalidInput
from mlpatterns.model_db.artifacts import check_published, publish, remove
from mlpatterns.model_db.database import engine
from mlpatterns.model_db.importing import import_file
from mlpatterns.model_db.register import Registration
from mlpatterns.model_db.sweeping import sweep
from mlpatterns.registry.files import dump_manifest, unregistered_files, verify
from mlpatterns.registry.locate import locate
from mlpatterns.settings import Settings
from mlpatterns.stores import open_objects
from mlpatterns.user_errors import ModelFileError
from releases import graph
from weighted import weighted

KEY = "0123456789abcdef" * 2


@pytest.fixture(params=["file", "s3"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    artifacts = None if request.param == "file" else f"{request.getfixturevalue('s3_bucket')}/models"
    return Settings(home=tmp_path / "home", artifacts=artifacts)


def keys(settings: Settings) -> list[str]:
    return [one.key for one in open_objects(settings.artifacts_url).listed()]


def contents(tmp_path: Path, factor: float, location: str) -> dict[str, bytes]:
    path = weighted(tmp_path / "exported" / "m.onnx", factor, location)
    return {"model.onnx": path.read_bytes(), location: (path.parent / location).read_bytes(), "metadata.json": b"{}"}


def test_it_is_registered_with_all_its_files_and_found_again(tmp_path: Path, settings: Settings) -> None:
    path = weighted(tmp_path / "m.onnx", 2.0, "deep/w.bin")
    made = import_file(path, "m", settings=settings)
    found = locate("m:1", settings)
    assert found.weights == unregistered_files(path).weights
    assert found.sha256 == unregistered_files(path).sha256
    assert verify(made.made.folder).weights == ("deep/w.bin",)
    assert (found.model.parent / "deep" / "w.bin").read_bytes() == (tmp_path / "deep" / "w.bin").read_bytes()


def test_two_versions_that_differ_in_their_weights_alone_have_two_digests(tmp_path: Path) -> None:
    first, second = (Registration("m", contents(tmp_path, factor, "w.bin")).sha256 for factor in (2.0, 5.0))
    assert first != second


def test_a_manifest_of_a_model_that_is_whole_says_nothing_new(tmp_path: Path) -> None:
    assert b"weights" not in dump_manifest({"model.onnx": graph(1.0), "metadata.json": b"{}"})


def test_weights_that_are_not_among_the_files_are_refused(tmp_path: Path) -> None:
    files = contents(tmp_path, 2.0, "w.bin")
    del files["w.bin"]
    with pytest.raises(ModelFileError, match=r"model\.onnx keeps weights in w\.bin, which is not among the files"):
        dump_manifest(files)


def test_what_a_service_is_told_is_held_against_the_digest_of_all(tmp_path: Path, settings: Settings) -> None:
    files = contents(tmp_path, 2.0, "w.bin")
    made = publish(settings.artifacts_url, "m", KEY, files, home=settings.home)
    said = {"artifact_url": made.url, "manifest_sha256": made.manifest_sha256}
    check_published(settings.artifacts_url, **said, sha256=Registration("m", files).sha256)
    alone = Registration("m", {"model.onnx": graph(1.0)}).sha256
    with pytest.raises(InvalidInput, match=r"sha256 is not what the manifest\.json at artifact_url says"):
        check_published(settings.artifacts_url, **said, sha256=alone)


def test_all_its_files_are_removed_with_it_and_no_other_artifact_s(tmp_path: Path, settings: Settings) -> None:
    publish(settings.artifacts_url, "m", KEY, contents(tmp_path, 2.0, "deep/w.bin"), home=settings.home)
    other = f"m/{KEY}/deep/notes.txt"
    open_objects(settings.artifacts_url).create(other, b"")
    remove(settings.artifacts_url, f"m/{KEY}")
    assert keys(settings) == [other]


def test_what_a_killed_publication_left_deeper_is_swept_with_the_rest(tmp_path: Path, settings: Settings) -> None:
    import_file(weighted(tmp_path / "m.onnx", 2.0, "deep/w.bin"), "m", settings=settings)
    named = keys(settings)
    publish(settings.artifacts_url, "m", KEY, contents(tmp_path, 2.0, "deep/w.bin"), home=settings.home)
    open_objects(settings.artifacts_url).delete(f"m/{KEY}/manifest.json")
    made = engine(settings.registry_url)
    (found,) = sweep(made, settings.artifacts_url, older=-3600.0)
    made.dispose()
    assert f"m/{KEY}/deep/w.bin" in found.keys
    assert keys(settings) == named
