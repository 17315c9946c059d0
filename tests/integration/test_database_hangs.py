"""Blocking calls to a database that hangs end, or a thread would wait, and the process not stop, forever; those to one
that was restarted go on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from mlpatterns.errors import Unavailable
from mlpatterns.model_db import database as model_db
from mlpatterns.stores.batch import Column, postgres
from services import database

LONG = {"postgresql": "SELECT pg_sleep(20)", "mysql": "SELECT SLEEP(20)"}


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with database("postgresql", tmp_path) as made:
        yield made


@pytest.mark.parametrize("kind", [*LONG])
def test_the_model_db_gives_up_an_answer_that_does_not_come(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with database(kind, tmp_path) as url:
        monkeypatch.setattr(model_db, "BUSY", 1)
        made = model_db.engine(url)
        with made.connect() as connection, pytest.raises(OperationalError):
            connection.execute(text(LONG[kind]))
        with made.connect() as connection:
            assert connection.execute(text("SELECT 1")).scalar() == 1
        made.dispose()


def test_a_batch_table_gives_up_an_answer_that_does_not_come(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "CALL_SECONDS", 0.3)
    table = postgres.PostgresDatabase(url)
    with pytest.raises(Unavailable, match=r"the PostgreSQL of the batch failed: there was no answer in 0\.3 seconds"):
        table.query(LONG["postgresql"], ())
    with pytest.raises(Unavailable, match=r"there was no answer in 0\.3 seconds"):
        table.query_columns("SELECT length(pg_sleep(20)::text) AS a", (), [Column("a", "int")])
    assert table.query("SELECT 1", ()) == [(1,)]
    table.close()


def test_a_batch_table_whose_connection_was_ended_is_read_over_a_new_one(url: str) -> None:
    table, other = postgres.PostgresDatabase(url), postgres.PostgresDatabase(url)

    def end() -> None:
        other.query("SELECT pg_terminate_backend(%s)", table.query("SELECT pg_backend_pid()", ())[0])

    end()
    assert table.query("SELECT 1", ()) == [(1,)]
    end()
    with table.transaction():
        table.execute("CREATE TABLE begun (a int)", ())
    end()
    with pytest.raises(Unavailable), table.transaction():  # noqa: PT012 - what is within is not done twice
        table.query("SELECT 1", ())
        end()
        table.query("SELECT 1", ())
    assert [column.name for column in table.columns("begun")] == ["a"]
    table.close()
    other.close()
