"""Model files: metadata survives a round trip, and every kind of damage is told in one sentence."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlpatterns.metadata import ModelMetadata, TensorSpec
from mlpatterns.registry.files import (
    dump_manifest,
    dump_metadata,
    load_metadata,
    metadata_path,
    unregistered_files,
    verify,
)
from mlpatterns.user_errors import ModelFileError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = {"model.onnx": b"graph", "metadata.json": b"{}"}
    for name, content in {**files, "manifest.json": dump_manifest(files)}.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


def metadata(datatype: str, sample: np.ndarray | None) -> ModelMetadata:
    spec = TensorSpec("x", datatype, (-1, 2), fields=("a", "b"))
    arrays = None if sample is None else {"x": sample}
    return ModelMetadata("m", "1", "onnxruntime_onnx", (spec,), (spec,), "x", ("no", "yes"), arrays)


@pytest.mark.parametrize(
    ("datatype", "sample"),
    [
        ("FP32", np.array([[5.1, 3.5]], dtype=np.float32)),
        ("INT64", np.array([[2**53 + 1, -1]], dtype=np.int64)),
        ("BOOL", np.array([[True, False]])),
        ("BYTES", np.array([[b"\xff\x00", b"text"]], dtype=object)),
    ],
)
def test_metadata_comes_back_with_its_sample_in_the_declared_datatype(
    tmp_path: Path, datatype: str, sample: np.ndarray
) -> None:
    path = tmp_path / "metadata.json"
    path.write_bytes(dump_metadata(metadata(datatype, sample)))
    loaded = load_metadata(path)
    assert loaded.sample is not None
    assert loaded.sample["x"].dtype == sample.dtype
    assert loaded.sample["x"].tolist() == sample.tolist()
    assert (loaded.inputs, loaded.labels) == (metadata(datatype, sample).inputs, ("no", "yes"))


def test_metadata_without_a_sample_comes_back_without_one(tmp_path: Path) -> None:
    (tmp_path / "metadata.json").write_bytes(dump_metadata(metadata("FP32", None)))
    assert load_metadata(tmp_path / "metadata.json") == metadata("FP32", None)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"name": 1}', b"\xff"])
def test_metadata_that_does_not_describe_a_model_is_said_so(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "metadata.json").write_bytes(content)
    with pytest.raises(ModelFileError, match=r"^metadata\.json does not describe a model: "):
        load_metadata(tmp_path / "metadata.json")


def test_metadata_with_a_sample_of_an_unknown_input_is_refused(tmp_path: Path) -> None:
    record = json.loads(dump_metadata(metadata("FP32", np.zeros((1, 2), np.float32))))
    record["sample"] = {"y": [[1, 2]]}
    (tmp_path / "metadata.json").write_text(json.dumps(record))
    with pytest.raises(ModelFileError, match="does not describe a model"):
        load_metadata(tmp_path / "metadata.json")


def test_a_whole_folder_verifies(folder: Path) -> None:
    assert verify(folder).files["model.onnx"].sha256 == hashlib.sha256(b"graph").hexdigest()


def damage_by_other_bytes(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(b"grapf")


def damage_by_truncation(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(b"gra")


def damage_by_removal(folder: Path) -> None:
    (folder / "metadata.json").unlink()


def damage_by_no_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


def damage_by_other_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_bytes(b'{"files": [')


def damage_by_manifest_without_model(folder: Path) -> None:
    (folder / "manifest.json").write_bytes(dump_manifest({"metadata.json": b"{}"}))


def damage_by_outside_name(folder: Path) -> None:
    (folder.parent / "other").write_bytes(b"x")
    (folder / "manifest.json").write_bytes(dump_manifest({"model.onnx": b"graph", "../other": b"x"}))


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (damage_by_other_bytes, "shapes:3: model.onnx does not match its SHA-256"),
        (damage_by_truncation, "shapes:3: model.onnx does not match its SHA-256"),
        (damage_by_removal, "shapes:3: metadata.json is missing"),
        (damage_by_no_manifest, "shapes:3: manifest.json is missing"),
        (damage_by_other_manifest, "shapes:3: manifest.json is not a manifest"),
        (damage_by_manifest_without_model, "shapes:3: the manifest lists no model.onnx"),
        (damage_by_outside_name, "shapes:3: the manifest names a file outside its folder"),
    ],
)
def test_damage_is_told_by_the_models_name_and_never_by_a_path(
    folder: Path, damage: Callable[[Path], None], text: str
) -> None:
    damage(folder)
    with pytest.raises(ModelFileError) as caught:
        verify(folder, what="shapes:3")
    assert str(caught.value).startswith(text)
    assert str(folder) not in str(caught.value)


@pytest.mark.parametrize("name", ["model.onnx", "metadata.json", "manifest.json"])
def test_a_file_that_may_not_be_read_is_one_sentence(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Path.open

    def denied(path: Path, *args: Any, **options: Any) -> Any:
        if path.name == name:
            raise PermissionError(13, "Permission denied")
        return opened(path, *args, **options)

    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(ModelFileError, match=f"cannot read {name}: permission denied"):
        verify(folder)


def test_a_manifest_that_was_replaced_together_with_its_files_is_found_by_its_own_digest(folder: Path) -> None:
    registered = hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()
    (folder / "model.onnx").write_bytes(b"forged")
    (folder / "manifest.json").write_bytes(dump_manifest({"model.onnx": b"forged"}))
    verify(folder)
    with pytest.raises(ModelFileError, match="not the one that was registered"):
        verify(folder, sha256=registered)


def test_equal_files_have_equal_manifests_in_whatever_order() -> None:
    assert dump_manifest({"a": b"1", "b": b"2"}) == dump_manifest({"b": b"2", "a": b"1"})


def test_a_bare_file_is_named_for_its_stem_and_versioned_by_its_digest(tmp_path: Path) -> None:
    path = tmp_path / "my model.onnx"
    path.write_bytes(b"graph")
    files = unregistered_files(path)
    sha256 = hashlib.sha256(b"graph").hexdigest()
    assert (files.name, files.version, files.sha256) == ("my_model", sha256[:12], sha256)
    assert (files.folder, files.metadata) == (None, None)


def test_metadata_beside_a_bare_file_belong_to_it(tmp_path: Path) -> None:
    path = tmp_path / "my.model.onnx"
    path.write_bytes(b"graph")
    assert metadata_path(path) == tmp_path / "my.model.metadata.json"
    metadata_path(path).write_bytes(dump_metadata(metadata("FP32", None)))
    assert unregistered_files(path).metadata == metadata("FP32", None)
    metadata_path(path).write_text("[]")
    with pytest.raises(ModelFileError, match=r"^my\.model\.metadata\.json does not describe a model"):
        unregistered_files(path)


def test_a_copy_keeps_the_version_of_the_registry_and_another_file_in_its_place_does_not(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(b"graph")
    metadata_path(path).write_bytes(dump_metadata(metadata("FP32", None), hashlib.sha256(b"graph").hexdigest()))
    assert unregistered_files(path).version == "1"
    path.write_bytes(b"another")
    assert unregistered_files(path).version == hashlib.sha256(b"another").hexdigest()[:12]
    assert unregistered_files(path).metadata == metadata("FP32", None)
    metadata_path(path).write_text(metadata_path(path).read_text().replace('"sha256": "', '"sha256": 5, "was": "'))
    with pytest.raises(ModelFileError, match=r"^m\.metadata\.json does not describe a model"):
        unregistered_files(path)


def test_a_bare_file_that_is_missing_or_a_folder_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="there is no model file"):
        unregistered_files(tmp_path / "nothing.onnx")
    with pytest.raises(ModelFileError, match="is not a file"):
        unregistered_files(tmp_path)


def test_reading_model_files_needs_neither_training_nor_database_libraries() -> None:
    heavy = "{'sqlalchemy', 'onnx', 'onnxruntime', 'sklearn'}"
    code = f"import sys, mlpatterns.registry.files; print({heavy} & {{*sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
