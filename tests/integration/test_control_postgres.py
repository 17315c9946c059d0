"""Shared state in a PostgreSQL whose connections end, that hangs, and that several processes meet empty."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from core import read
from mlpatterns.errors import Conflict, Unavailable
from mlpatterns.stores import postgres_session
from mlpatterns.stores.control_postgres import PostgresControl
from services import database

pytestmark = pytest.mark.integration


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with database("postgresql", tmp_path) as url:
        yield url


def run(url: str, work: Callable[[PostgresControl], Awaitable[None]]) -> None:
    async def main() -> None:
        store = await PostgresControl.open(url)
        try:
            await work(store)
        finally:
            await store.close()

    asyncio.run(main())


def test_a_connection_that_was_ended_meanwhile_costs_no_error(url: str) -> None:
    async def work(store: PostgresControl) -> None:
        await end_connection(store, url)
        assert (await store.put("a", 1, expected=None, by="me")).revision == 1
        await end_connection(store, url)
        document = await read(store, "a")
        assert document is not None
        await end_connection(store, url)
        with pytest.raises(Conflict, match="'a' is at revision 1, not None"):
            await store.put("a", 2, expected=None, by="me")
        assert len(await store.history("a")) == 1

    run(url, work)


def test_a_write_whose_connection_ends_is_unavailable_and_the_next_call_has_a_new_one(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_session, "SECONDS", 30)

    async def work(store: PostgresControl) -> None:
        await store.put("a", 1, expected=None, by="me")
        number = await backend(store)
        with psycopg.connect(url) as other:
            other.execute("LOCK TABLE mlpatterns_control IN SHARE MODE")
            writing = asyncio.create_task(store.put("a", 2, expected=1, by="me"))
            while not waits(url, number):
                await asyncio.sleep(0.01)
            other.execute("SELECT pg_terminate_backend(%s)", (number,))
            with pytest.raises(Unavailable, match="the control store does not answer"):
                await writing
        assert (await store.put("a", 3, expected=1, by="me")).revision == 2

    run(url, work)


def test_one_that_hangs_is_given_up_and_others_do_not_wait_for_it(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(store: PostgresControl) -> None:
        await store.put("a", 1, expected=None, by="me")
        with psycopg.connect(url) as other:
            other.execute("LOCK TABLE mlpatterns_control IN SHARE MODE")
            monkeypatch.setattr(postgres_session, "SECONDS", 0.2)
            with pytest.raises(Unavailable):
                await store.put("a", 2, expected=1, by="me")
            monkeypatch.undo()
            document = await read(store, "a")
            assert document is not None
            assert document.value == 1
        assert (await store.put("a", 3, expected=1, by="me")).revision == 2

    run(url, work)


def test_processes_that_meet_it_empty_at_once_all_start(url: str) -> None:
    async def main() -> None:
        stores = await asyncio.gather(*(PostgresControl.open(url) for _ in range(12)))
        assert await asyncio.gather(*(read(store, "a") for store in stores)) == [None] * 12
        await asyncio.gather(*(store.close() for store in stores))

    asyncio.run(main())


def test_a_role_that_may_not_make_tables_uses_those_there_are(url: str) -> None:
    role = url.rpartition("%3D")[2] + "_reader"
    asyncio.run(ask(url, f"CREATE ROLE {role} LOGIN PASSWORD 'secret'"))
    try:
        theirs = as_role(url, role)
        with pytest.raises(Unavailable, match="the control store does not answer") as caught:
            run(theirs, nothing)
        assert "no schema has been selected to create in" in str(caught.value.__cause__)
        assert "secret" not in f"{caught.value} {caught.value.__cause__}"
        run(url, nothing)
        schema = url.rpartition("%3D")[2]
        asyncio.run(ask(url, f"GRANT USAGE ON SCHEMA {schema} TO {role}"))
        asyncio.run(ask(url, f"GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO {role}"))

        async def work(store: PostgresControl) -> None:
            assert (await store.put("a", 1, expected=None, by="me")).revision == 1

        run(theirs, work)
    finally:
        asyncio.run(ask(url, f"DROP OWNED BY {role}"))
        asyncio.run(ask(url, f"DROP ROLE {role}"))


def test_where_transactions_are_serializable_the_loser_of_a_race_has_a_conflict(url: str) -> None:
    strict = url + "%20-cdefault_transaction_isolation%3Dserializable"

    async def main() -> None:
        stores = await asyncio.gather(*(PostgresControl.open(strict) for _ in range(4)))
        await stores[0].put("a", 0, expected=None, by="me")
        for revision in range(1, 11):
            puts = (store.put("a", revision, expected=revision, by="me") for store in stores)
            results = await asyncio.gather(*puts, return_exceptions=True)
            assert sorted(type(result).__name__ for result in results) == ["Conflict"] * 3 + ["Document"]
        await asyncio.gather(*(store.close() for store in stores))

    asyncio.run(main())


async def nothing(store: PostgresControl) -> None:
    """It is only asked, and so makes its tables."""
    assert await read(store, "a") is None


async def ask(url: str, statement: str, *given: Any) -> list[tuple[Any, ...]]:
    """In a connection of its own."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        cursor = await connection.execute(statement, given)
        return await cursor.fetchall() if cursor.description else []


async def backend(store: PostgresControl) -> int:
    ((number,),) = await store._rows("SELECT pg_backend_pid()", ())
    return int(number)


async def end_connection(store: PostgresControl, url: str) -> None:
    number = await backend(store)
    await ask(url, "SELECT pg_terminate_backend(%s, 5000)", number)


def waits(url: str, number: int) -> bool:
    """Whether a backend waits for a lock."""
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT 1 FROM pg_locks WHERE pid = %s AND NOT granted", (number,)).fetchone()
        return found is not None


def as_role(url: str, role: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{role}:secret@{rest.rpartition('@')[2]}"
