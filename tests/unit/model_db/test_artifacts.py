"""Artifact folders: whole or not there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlpatterns.errors import UserError
from mlpatterns.model_db import artifacts
from mlpatterns.model_db.artifacts import publish
from mlpatterns.registry.files import verify

FILES = {"model.onnx": b"graph", "notes.json": b"{}"}


def test_a_published_folder_verifies_against_the_digest_that_is_returned(tmp_path: Path) -> None:
    published = publish(tmp_path, "shapes", "k1", FILES)
    assert published.folder == tmp_path / "artifacts" / "shapes" / "k1"
    assert published.url == "shapes/k1"
    verify(published.folder, sha256=published.manifest_sha256)


def test_a_folder_is_never_written_over(tmp_path: Path) -> None:
    publish(tmp_path, "shapes", "k1", FILES)
    with pytest.raises(UserError, match="is there already"):
        publish(tmp_path, "shapes", "k1", {"model.onnx": b"other"})
    assert (tmp_path / "artifacts/shapes/k1/model.onnx").read_bytes() == b"graph"


def test_a_failure_while_writing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="no space left on device"):
        publish(tmp_path, "shapes", "k1", FILES)
    assert [path for path in (tmp_path / "artifacts").rglob("*") if path.name != "shapes"] == []


def test_what_a_killed_process_left_is_removed_a_day_later(tmp_path: Path) -> None:
    old, fresh = (tmp_path / "artifacts" / f"{artifacts.PARTIAL}{name}" for name in ("old", "fresh"))
    for folder in (old, fresh):
        folder.mkdir(parents=True)
    os.utime(old, (0, 0))
    publish(tmp_path, "shapes", "k1", FILES)
    assert (old.exists(), fresh.exists()) == (False, True)


def test_a_home_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "artifacts").write_text("a file where a folder should be")
    with pytest.raises(UserError, match=r"^cannot write to "):
        publish(tmp_path, "shapes", "k1", FILES)


def test_another_writers_folder_may_vanish_while_leftovers_are_looked_for(tmp_path: Path) -> None:
    """A link to nothing is found by name but has no date, like a folder renamed in between."""
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "artifacts" / f"{artifacts.PARTIAL}gone").symlink_to(tmp_path / "nowhere")
    assert publish(tmp_path, "shapes", "k1", FILES).folder.is_dir()
