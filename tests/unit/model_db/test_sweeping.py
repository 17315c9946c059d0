"""Sweeping: what no version names goes a day later, and nothing else does."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from mlpatterns.model_db.artifacts import publish
from mlpatterns.model_db.database import engine
from mlpatterns.model_db.register import Registration, register
from mlpatterns.model_db.sweeping import sweep
from mlpatterns.settings import Settings
from mlpatterns.stores import open_objects
from mlpatterns.stores.objects import ObjectStore, StoredObject

KEY = "0123456789abcdef" * 2
FILES = {"model.onnx": b"graph"}


class Aged:
    """A store whose objects are two days old."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def listed(self) -> list[StoredObject]:
        old = time.time() - 2 * 86_400
        return [StoredObject(one.key, one.bytes, old) for one in self._store.listed()]

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)


@pytest.fixture(params=["file", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "file":
        return (tmp_path / "artifacts").as_uri()
    return f"{request.getfixturevalue('s3_bucket')}/models"


@pytest.fixture
def registry(url: str, root: str, entry: Registration, tmp_path: Path) -> Iterator[Engine]:
    """With one version, whose files are below `root`."""
    register(entry, Settings(home=tmp_path, registry=url, artifacts=root))
    made = engine(url)
    yield made
    made.dispose()


@pytest.fixture
def aged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlpatterns.model_db.sweeping.open_objects", lambda url: Aged(open_objects(url)))


def keys(root: str) -> set[str]:
    return {one.key for one in open_objects(root).listed()}


@pytest.mark.usefixtures("aged")
def test_what_no_version_names_is_removed_and_what_one_names_stays(registry: Engine, root: str, tmp_path: Path) -> None:
    named = keys(root)
    publish(root, "shapes", KEY, FILES, home=tmp_path)
    (found,) = sweep(registry, root)
    assert (found.url, found.bytes > 5) == (f"shapes/{KEY}", True)
    assert keys(root) == named


@pytest.mark.usefixtures("aged")
def test_a_dry_run_removes_nothing(registry: Engine, root: str, tmp_path: Path) -> None:
    publish(root, "shapes", KEY, FILES, home=tmp_path)
    before = keys(root)
    assert [one.url for one in sweep(registry, root, dry=True)] == [f"shapes/{KEY}"]
    assert keys(root) == before


def test_what_is_younger_than_a_day_may_be_named_yet_and_stays(registry: Engine, root: str, tmp_path: Path) -> None:
    publish(root, "shapes", KEY, FILES, home=tmp_path)
    before = keys(root)
    assert sweep(registry, root) == []
    assert keys(root) == before


@pytest.mark.usefixtures("aged")
def test_what_has_not_the_name_of_an_artifact_is_nobody_elses_business(registry: Engine, root: str) -> None:
    store = open_objects(root)
    others = {"notes.txt", "shapes/readme", "shapes/by-hand/model.onnx", f"shapes/{KEY}/deeper/model.onnx"}
    for key in others:
        store.create(key, b"")
    assert sweep(registry, root) == []
    assert others < keys(root)


@pytest.mark.usefixtures("aged")
def test_what_killed_publishers_left_half_written_goes(registry: Engine, root: str) -> None:
    named, store = keys(root), open_objects(root)
    for key in (f"shapes/{KEY}/.partial-1", f"shapes/{KEY}/model.onnx", f".partial-{KEY}/model.onnx"):
        store.create(key, b"half")
    assert len(sweep(registry, root)) == 2
    assert keys(root) == named


def test_one_young_file_keeps_its_folder(registry: Engine, tmp_path: Path) -> None:
    root = (tmp_path / "own").as_uri()
    publish(root, "shapes", KEY, FILES, home=tmp_path)
    os.utime(tmp_path / "own" / "shapes" / KEY / "model.onnx", (0, 0))
    assert sweep(registry, root) == []
