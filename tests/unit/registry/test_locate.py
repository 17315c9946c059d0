"""Locating: from a reference to verified files, with the registry asked by plain SELECTs."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from mlpatterns.model_db.database import engine
from mlpatterns.model_db.register import Registration, register
from mlpatterns.registry.locate import locate
from mlpatterns.settings import Settings
from mlpatterns.user_errors import ModelFileError, UnknownName, UserError


def test_a_registered_model_is_found(tmp_path: Path, entry: Registration) -> None:
    made = register(entry, Settings(home=tmp_path, registry=f"sqlite:///{tmp_path / 'registry.db'}"))
    files = locate("shapes", Settings(home=tmp_path))
    assert (files.model, files.folder) == (made.folder / "model.onnx", made.folder)
    assert (files.name, files.version, files.sha256) == ("shapes", "1", entry.sha256)
    assert files.metadata is not None
    assert (files.metadata.version, files.metadata.labels) == ("1", ("a", "b"))


def test_a_version_that_is_not_there_is_said_so(tmp_path: Path, entry: Registration) -> None:
    register(entry, Settings(home=tmp_path, registry=f"sqlite:///{tmp_path / 'registry.db'}"))
    with pytest.raises(UnknownName, match="there is no model version 'shapes:9'; its latest is 1"):
        locate("shapes:9", Settings(home=tmp_path))


def test_locating_imports_no_sqlalchemy_here(tmp_path: Path, entry: Registration) -> None:
    register(entry, Settings(home=tmp_path, registry=f"sqlite:///{tmp_path / 'registry.db'}"))
    code = (
        "import sys, pathlib; from mlpatterns.registry.locate import locate; from mlpatterns.settings import Settings;"
        "locate('shapes', Settings(home=pathlib.Path(sys.argv[1])));"
        "print({'sqlalchemy', 'alembic', 'onnx', 'sklearn'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_fetching_from_s3_imports_no_sqlalchemy_here_and_no_other_client(
    tmp_path: Path, entry: Registration, url: str, s3_bucket: str
) -> None:
    register(entry, Settings(home=tmp_path / "of the trainer", registry=url, artifacts=s3_bucket))
    code = (
        "import sys, pathlib; from mlpatterns.registry.locate import locate; from mlpatterns.settings import Settings;"
        "home, url, artifacts = sys.argv[1:];"
        "settings = Settings(home=pathlib.Path(home), registry=url, artifacts=artifacts);"
        "print(locate('shapes', settings).model.read_bytes(),"
        " {'sqlalchemy', 'alembic', 'boto3', 'aiohttp'} & {*sys.modules})"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "home"), url, s3_bucket]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"{entry.files['model.onnx']!r} set()"


def test_asking_a_registry_that_is_not_there_does_not_make_one(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match=r"`mlpatterns registry import FILE\.onnx --name shapes` makes it"):
        locate("shapes", Settings(home=tmp_path / "home"))
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_located_without_any_registry(tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(b"graph")
    assert locate(f"file:{tmp_path / 'x.onnx'}", Settings(home=tmp_path, registry="nonsense")).name == "x"


def test_text_that_is_no_reference_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a model reference"):
        locate("shapes:latest", Settings(home=tmp_path))


def test_a_damaged_artifact_is_named_by_its_reference(tmp_path: Path, entry: Registration, url: str) -> None:
    made = register(entry, Settings(home=tmp_path, registry=url))
    (made.folder / "model.onnx").write_bytes(b"something else")
    with pytest.raises(ModelFileError, match=r"^shapes:1: model\.onnx does not match its SHA-256"):
        locate("shapes", Settings(home=tmp_path, registry=url))


def test_an_artifact_that_is_gone_is_said_so(tmp_path: Path, entry: Registration, url: str) -> None:
    shutil.rmtree(register(entry, Settings(home=tmp_path, registry=url)).folder)
    with pytest.raises(ModelFileError, match="not in this MLPATTERNS_HOME"):
        locate("shapes", Settings(home=tmp_path, registry=url))


def test_an_artifact_registered_outside_the_home_is_refused(tmp_path: Path, entry: Registration, url: str) -> None:
    register(entry, Settings(home=tmp_path, registry=url))
    made = engine(url)
    with made.begin() as connection:
        connection.execute(text("UPDATE artifacts SET url = '../../etc'"))
    made.dispose()
    with pytest.raises(ModelFileError, match="outside the artifacts"):
        locate("shapes", Settings(home=tmp_path, registry=url))


def test_a_home_that_moved_is_found_where_it_is(tmp_path: Path, entry: Registration) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    register(entry, Settings(home=old, registry=f"sqlite:///{old / 'registry.db'}"))
    old.rename(new)
    assert locate("shapes", Settings(home=new)).model.is_relative_to(new)
