"""The objects of a folder: what is special about files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mlpatterns.errors import NotFound, Unavailable
from mlpatterns.stores import open_objects
from mlpatterns.user_errors import SettingsError

# Ends, as a kill does it, between writing an object and giving it its name.
KILLED = """
import os, sys
from mlpatterns.stores import open_objects
os.link = lambda *_: os._exit(9)
open_objects(sys.argv[1]).create("shapes/k1/model", b"x" * 1000)
"""


@pytest.mark.parametrize("url", ["file:relative", "file://host/folder", "file:///a?b=c", "file:///a#b", "file://[/a"])
def test_a_url_that_names_no_folder_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="must be written as file:///FOLDER"):
        open_objects(url)


def test_a_scheme_that_no_backend_has_is_refused_with_those_there_are() -> None:
    with pytest.raises(SettingsError, match="use file://, s3://"):
        open_objects("ftp://host/folder")


def test_a_folder_with_a_space_in_its_name_is_itself(tmp_path: Path) -> None:
    folder = tmp_path / "a folder 日本"
    open_objects(folder.as_uri()).create("shapes/k1", b"here")
    assert (folder / "shapes" / "k1").read_bytes() == b"here"


def test_a_full_disk_is_a_sentence_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    store = open_objects(tmp_path.as_uri())
    (tmp_path / "shapes").mkdir()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Unavailable, match="no space left on device"):
        store.create("shapes/k1", b"here")
    assert store.listed() == []


def test_a_writer_that_is_killed_leaves_no_object_of_that_name(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, tmp_path.as_uri()], check=False)
    assert done.returncode == 9
    store = open_objects(tmp_path.as_uri())
    (left,) = store.listed()
    assert left.key.startswith("shapes/k1/.partial-")
    with pytest.raises(NotFound):
        store.read("shapes/k1/model", 1000)
    store.create("shapes/k1/model", b"again")
    store.delete(left.key)
    assert [one.key for one in store.listed()] == ["shapes/k1/model"]


def test_a_folder_goes_with_its_last_object_but_never_the_root(tmp_path: Path) -> None:
    store = open_objects(tmp_path.as_uri())
    store.create("shapes/k1/model", b"")
    store.create("top", b"")
    store.delete("shapes/k1/model")
    store.delete("top")
    assert not (tmp_path / "shapes" / "k1").exists()
    assert tmp_path.is_dir()


def test_the_driver_of_s3_is_not_imported_for_a_folder(tmp_path: Path) -> None:
    code = (
        "import sys; from mlpatterns.stores import open_objects;"
        "open_objects(sys.argv[1]).create('k', b''); print({'obstore', 'apsw', 'redis'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path.as_uri()], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
