"""The tables: the migrations make what the program expects, once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from mlpatterns.model_db import upgrade as module
from mlpatterns.model_db.database import engine
from mlpatterns.model_db.tables import Base
from mlpatterns.model_db.upgrade import HEAD, Create, configuration, upgrade
from mlpatterns.user_errors import RegistryDown, UserError
from services import DATABASES, database


@pytest.fixture(params=DATABASES)
def service(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with database(request.param, tmp_path) as made:
        yield made


def test_the_migrations_make_exactly_the_tables_of_the_program(url: str) -> None:
    made = upgrade(url)
    with made.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    made.dispose()


def test_the_head_that_the_program_names_is_the_newest_script() -> None:
    assert ScriptDirectory.from_config(configuration()).get_current_head() == HEAD


def test_a_registry_that_is_up_to_date_is_not_migrated_again(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    upgrade(url).dispose()
    monkeypatch.setattr(module, "_migrate", lambda _: pytest.fail("migrated twice"))
    upgrade(url).dispose()


def test_one_that_is_up_to_date_is_opened_without_writing_beside_it(url: str, tmp_path: Path) -> None:
    """As in a home that may only be read, which root itself cannot be refused in a test."""
    upgrade(url).dispose()
    (lock,) = tmp_path.glob("*.lock")
    lock.unlink()
    upgrade(url, create="never").dispose()
    assert not lock.exists()


def test_a_registry_of_a_newer_program_is_refused(url: str) -> None:
    made = upgrade(url)
    with made.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    made.dispose()
    with pytest.raises(UserError, match=r"newer mlpatterns \(revision 9999\)"):
        upgrade(url)


def test_a_database_without_tables_gets_them_where_that_was_asked_for(service: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no registry yet"):
        upgrade(service, create="never")
    assert not (tmp_path / "registry.db").exists()
    upgrade(service, create="missing").dispose()
    upgrade(service, create="never").dispose()


def test_a_file_without_tables_gets_them_from_what_registers_a_model_alone(url: str, tmp_path: Path) -> None:
    (tmp_path / "registry.db").touch()
    for create in get_args(Create):
        if create != "always":
            with pytest.raises(RegistryDown, match="is a file without a registry's tables"):
                upgrade(url, create=create)
    upgrade(url, create="always").dispose()
    upgrade(url, create="never").dispose()


def test_sqlite_keeps_a_rollback_journal_and_checks_foreign_keys(url: str) -> None:
    made = engine(url)
    with made.connect() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "delete"
        assert connection.execute(text("PRAGMA foreign_keys")).scalar() == 1
    made.dispose()


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be used: "):
        upgrade(f"sqlite:///{tmp_path / 'file' / 'registry.db'}")
