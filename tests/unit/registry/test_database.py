"""What the registry's database answers: the version, or which part of the reference is not there."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from mlpatterns.model_db.database import engine
from mlpatterns.model_db.register import Registration, register
from mlpatterns.references import RegisteredReference, parse_reference
from mlpatterns.registry.database import DatabaseConnection
from mlpatterns.settings import Settings
from mlpatterns.stores.registry import VersionFiles
from mlpatterns.user_errors import MissingExtra, RegistryDown, UnknownName, UserError
from services import DATABASES, database

SHAPES = RegisteredReference("shapes")
# Ends in the middle of a commit, when SQLite has written to the file and its journal says how to take that back.
KILLED = """
import os, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA cache_size = 1")
connection.execute("BEGIN IMMEDIATE")
connection.execute("UPDATE aliases SET number = 9")
connection.execute("CREATE TABLE other (x)")
for _ in range(100):
    connection.execute("INSERT INTO other VALUES (zeroblob(5000))")
os._exit(9)
"""


def asked(url: str, reference: str = "shapes") -> VersionFiles:
    asker, parsed = DatabaseConnection(url), parse_reference(reference)
    assert isinstance(parsed, RegisteredReference)
    try:
        return asker.find(parsed)
    finally:
        asker.close()


@pytest.fixture(params=DATABASES)
def each(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with database(request.param, tmp_path) as made:
        yield made


@pytest.fixture
def registered(tmp_path: Path, entry: Registration, each: str) -> str:
    for promote in (True, False):
        register(entry, Settings(home=tmp_path, registry=each), promote=promote)
    return each


def test_a_version_and_an_alias_are_found(registered: str) -> None:
    by_alias, by_number = asked(registered), asked(registered, "shapes:2")
    assert (by_alias.version, by_number.version) == (1, 2)
    assert by_alias.folder != by_number.folder


def test_each_question_sees_what_was_committed_before_it(registered: str) -> None:
    asker, made = DatabaseConnection(registered), engine(registered)
    seen = []
    for number in (1, 2, 1):
        with made.begin() as connection:
            connection.execute(text("UPDATE aliases SET number = :number"), {"number": number})
        seen.append(asker.find(SHAPES).version)
    asker.close()
    made.dispose()
    assert seen == [1, 2, 1]


def test_a_connection_that_was_lost_is_made_anew_once(registered: str) -> None:
    asker, made = DatabaseConnection(registered), engine(registered)
    kill = {
        "postgresql": "SELECT pg_terminate_backend({})",
        "mysql": "KILL {}",
    }
    assert asker.find(SHAPES).version == 1
    if asker._connection is not None:  # that of a file is closed
        postgres = made.dialect.name == "postgresql"
        number = asker._connection.info.backend_pid if postgres else asker._connection.thread_id()
        with made.connect() as connection:
            connection.execute(text(kill[made.dialect.name].format(number)))
    assert asker.find(SHAPES).version == 1
    asker.close()
    made.dispose()


@pytest.mark.parametrize(
    ("reference", "sentence"),
    [
        (
            "shape",
            "there is no model 'shape'; did you mean 'shapes'? "  # noqa: ISC004
            "`mlpatterns registry import FILE.onnx --name shape` makes it",
        ),
        (
            "iris_sklearn_svc",
            "there is no model 'iris_sklearn_svc'; there is shapes; `mlpatterns train iris_sklearn_svc` makes it",
        ),
        ("shapes@champoin", "there is no model alias 'shapes@champoin'; did you mean 'shapes@champion'?"),
        ("shapes:7", "there is no model version 'shapes:7'; its latest is 2"),
    ],
)
def test_what_is_not_there_is_said_with_what_there_is(registered: str, reference: str, sentence: str) -> None:
    with pytest.raises(UnknownName, match=f"^{re.escape(sentence)}$"):
        asked(registered, reference)


def test_names_are_told_apart_by_case(registered: str) -> None:
    with pytest.raises(UnknownName, match="did you mean 'shapes'"):
        asked(registered, "Shapes")


@pytest.mark.parametrize("kind", DATABASES)
def test_a_registry_that_nobody_has_made_yet_knows_no_model(kind: str, tmp_path: Path) -> None:
    """No file, or a server's database without tables: a training makes the registry."""
    with (
        database(kind, tmp_path) as url,
        pytest.raises(UnknownName, match=r"^there is no model 'shapes'; `mlpatterns registry import FILE\.onnx"),
    ):
        asked(url)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("script", ["", "CREATE TABLE customers (id)"])
def test_a_file_without_a_registrys_tables_is_an_error(tmp_path: Path, script: str) -> None:
    """No empty registry: the file was cut short, or is another program's."""
    file = tmp_path / "registry.db"
    file.touch()
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(script)
    with pytest.raises(RegistryDown, match=r"/registry\.db is a file without a registry's tables; restore it"):
        asked(f"sqlite:///{file}")


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg", "mysql", "mysql+pymysql"])
def test_a_database_that_is_down_is_a_sentence_without_its_password(scheme: str) -> None:
    with pytest.raises(RegistryDown) as caught:
        asked(f"{scheme}://ann:s3%2Fcret@127.0.0.1:1/models")
    said = str(caught.value)
    assert said.startswith(f"the registry at {scheme}://ann:***@127.0.0.1:1/models cannot be used: ")
    assert "cret" not in said


@pytest.mark.parametrize(("scheme", "module"), [("postgresql", "psycopg"), ("mysql", "pymysql")])
def test_without_a_driver_its_extra_is_named(monkeypatch: pytest.MonkeyPatch, scheme: str, module: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra, match=rf"SQL registry needs an extra: pip install 'mlpatterns\[{scheme[:5]}"):
        asked(f"{scheme}://db/models")


@pytest.mark.parametrize("url", ["postgresql://ann:s3cret@db:port/models", "mysql://ann:s3cret@db/models?no_option=1"])
def test_a_url_that_a_driver_cannot_read_is_a_sentence_without_its_password(url: str) -> None:
    with pytest.raises(UserError, match="is not a database URL") as caught:
        asked(url)
    assert "s3cret" not in str(caught.value)


# ---- SQLite --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", ["a b", "100%", "what?", "c#", "%41", "ö"])
def test_a_file_is_found_below_a_folder_of_any_name(tmp_path: Path, entry: Registration, folder: str) -> None:
    url = Settings(home=tmp_path / folder).registry_url
    register(entry, Settings(home=tmp_path, registry=url))
    assert asked(url).version == 1
    assert [path.name for path in tmp_path.iterdir() if path.name != "artifacts"] == [folder]
    assert (tmp_path / folder / "registry.db").is_file()


def test_asking_makes_no_file_and_changes_none(tmp_path: Path, entry: Registration, url: str) -> None:
    register(entry, Settings(home=tmp_path, registry=url))
    file = tmp_path / "registry.db"
    before, made = file.read_bytes(), file.stat().st_mtime_ns
    asked(url)
    assert (file.read_bytes(), file.stat().st_mtime_ns) == (before, made)
    file.unlink()
    with pytest.raises(UnknownName):
        asked(url)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("registry.db") and path.suffix != ".lock"]


def test_a_file_that_may_only_be_read_is_read(tmp_path: Path, entry: Registration, url: str) -> None:
    register(entry, Settings(home=tmp_path, registry=url))
    (tmp_path / "registry.db").chmod(0o400)
    tmp_path.chmod(0o500)
    try:
        assert asked(url).version == 1
    finally:
        tmp_path.chmod(0o700)


def test_a_writer_that_was_killed_in_its_commit_stops_no_reader(tmp_path: Path, entry: Registration, url: str) -> None:
    register(entry, Settings(home=tmp_path, registry=url))
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "registry.db")], check=False)
    assert done.returncode == 9
    assert os.path.getsize(tmp_path / "registry.db-journal") > 0  # noqa: PTH202
    assert asked(url).version == 1


def test_a_writer_of_the_registry_never_leaves_it_in_another_journal_mode(
    tmp_path: Path, entry: Registration, url: str
) -> None:
    register(entry, Settings(home=tmp_path, registry=url))
    connection = sqlite3.connect(tmp_path / "registry.db")
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    connection.close()


def test_what_is_no_database_is_a_sentence(tmp_path: Path, url: str) -> None:
    (tmp_path / "registry.db").write_bytes(b"no database" * 1000)
    with pytest.raises(RegistryDown, match="cannot be used: file is not a database"):
        asked(url)
