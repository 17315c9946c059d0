"""Artifacts: whole or not there, in a folder and in S3."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Barrier

import pytest

from mlpatterns.errors import Unavailable
from mlpatterns.model_db.artifacts import PublishedArtifact, publish, remove
from mlpatterns.registry.files import verify
from mlpatterns.stores import open_objects
from mlpatterns.stores.objects_file import FileObjects
from mlpatterns.stores.objects_s3 import S3Objects
from mlpatterns.user_errors import UserError

FILES = {"model.onnx": b"graph", "notes.json": b"{}"}
WHOLE = ["shapes/k1/manifest.json", "shapes/k1/model.onnx", "shapes/k1/notes.json"]
WRITERS = 6


@pytest.fixture(params=["file", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a place for artifacts that is empty."""
    if request.param == "file":
        return (tmp_path / "artifacts").as_uri()
    return f"{request.getfixturevalue('s3_bucket')}/models"


def keys(root: str) -> list[str]:
    return [one.key for one in open_objects(root).listed()]


def test_what_is_published_verifies_against_the_digest_that_is_returned(root: str, tmp_path: Path) -> None:
    published = publish(root, "shapes", "k1", FILES, home=tmp_path)
    assert (published.root, published.url) == (root, "shapes/k1")
    assert keys(root) == WHOLE
    verify(published.folder, sha256=published.manifest_sha256)


def test_a_folder_of_artifacts_is_not_copied_and_s3_is_kept_below_the_home(root: str, tmp_path: Path) -> None:
    published = publish(root, "shapes", "k1", FILES, home=tmp_path)
    kept = tmp_path / "cache" / "artifacts" / published.manifest_sha256
    here = tmp_path / "artifacts" / "shapes" / "k1"
    assert published.folder == (here if root.startswith("file:") else kept)
    assert not (kept.exists() and here.exists())


def test_an_artifact_is_never_written_over(root: str, tmp_path: Path) -> None:
    publish(root, "shapes", "k1", FILES, home=tmp_path)
    with pytest.raises(UserError, match="already exists"):
        publish(root, "shapes", "k1", {"model.onnx": b"other", "another": b""}, home=tmp_path)
    assert keys(root) == WHOLE
    assert open_objects(root).read("shapes/k1/model.onnx", 100) == b"graph"


def test_of_many_who_publish_under_one_key_at_most_one_does_and_whole(root: str, tmp_path: Path) -> None:
    start = Barrier(WRITERS)

    def work(number: int) -> PublishedArtifact | None:
        files = dict.fromkeys(("model.onnx", "notes.json", f"own-{number}"), b"%d" % number * 1000)
        start.wait()
        with suppress(UserError):
            return publish(root, "shapes", "k1", files, home=tmp_path / str(number))
        return None

    with ThreadPoolExecutor(WRITERS) as pool:
        (won,) = [one for one in pool.map(work, range(WRITERS)) if one is not None]
    assert len(keys(root)) == 4  # the losers took away their own alone
    for key in keys(root):
        target = tmp_path / "found" / key
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(open_objects(root).read(key, 1 << 20))
    verify(tmp_path / "found" / "shapes" / "k1", sha256=won.manifest_sha256)


def failing_at(name: str, create: Callable[..., None]) -> Callable[..., None]:
    def failing(self: object, key: str, content: bytes) -> None:
        if key.endswith(name):
            raise Unavailable("the store gives an unexpected answer")
        create(self, key, content)

    return failing


@pytest.mark.parametrize("name", ["model.onnx", "notes.json", "manifest.json"])
def test_a_failure_while_publishing_leaves_nothing(
    root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for kind in (FileObjects, S3Objects):
        monkeypatch.setattr(kind, "create", failing_at(name, kind.create))
    with pytest.raises(UserError, match="gives an unexpected answer"):
        publish(root, "shapes", "k1", FILES, home=tmp_path)
    assert keys(root) == []
    assert not (tmp_path / "cache").exists()


def test_a_full_disk_is_a_sentence_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    root = (tmp_path / "artifacts").as_uri()
    (tmp_path / "artifacts" / "shapes" / "k1").mkdir(parents=True)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="no space left on device"):
        publish(root, "shapes", "k1", FILES, home=tmp_path)
    assert keys(root) == []


def test_a_home_that_cannot_keep_what_was_published_takes_it_back(s3_bucket: str, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where a folder should be")
    with pytest.raises(UserError, match=r"^cannot write to "):
        publish(s3_bucket, "shapes", "k1", FILES, home=tmp_path)
    assert keys(s3_bucket) == []


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "artifacts").write_text("a file where a folder should be")
    with pytest.raises(UserError, match=r"^cannot use "):
        publish((tmp_path / "artifacts").as_uri(), "shapes", "k1", FILES, home=tmp_path)


def test_what_is_removed_is_gone_and_its_neighbours_are_not(root: str, tmp_path: Path) -> None:
    for key in ("k1", "k11"):
        publish(root, "shapes", key, FILES, home=tmp_path)
    remove(root, "shapes/k1")
    remove(root, "shapes/k1")
    assert {key.rpartition("/")[0] for key in keys(root)} == {"shapes/k11"}
