"""Shared state in a file: it is waited for until it is on the disk, and what is wrong with the file is a sentence."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path

import apsw
import pytest

from core import read
from mlpatterns.errors import Unavailable
from mlpatterns.interfaces import ControlStore
from mlpatterns.settings import Settings
from mlpatterns.stores import control_sqlite, open_store, sqlite_file
from mlpatterns.stores.control_sqlite import SqliteControl
from mlpatterns.user_errors import SettingsError


def run(path: Path, work: Callable[[SqliteControl], Awaitable[None]]) -> None:
    async def main() -> None:
        store = await SqliteControl.open(f"sqlite:///{path}")
        try:
            await work(store)
        finally:
            await store.close()

    asyncio.run(main())


def test_a_write_waits_until_it_is_on_the_disk(tmp_path: Path) -> None:
    async def work(store: SqliteControl) -> None:
        await store.put("a", 1, expected=None, by="me")
        connection = store._writing._connection
        assert connection is not None
        assert (connection.pragma("journal_mode"), connection.pragma("synchronous")) == ("wal", 2)

    run(tmp_path / "control.db", work)
    assert apsw.Connection(str(tmp_path / "control.db")).pragma("integrity_check") == "ok"


@pytest.mark.parametrize("content", [b"this is no database" * 100, b"no"])
def test_a_file_of_another_kind_is_a_sentence_at_the_first_call_and_is_left_as_it_is(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "control.db"
    path.write_bytes(content)

    async def work(store: SqliteControl) -> None:
        with pytest.raises(Unavailable, match=r"the control file control\.db cannot be used: "):
            await read(store, "a")

    run(path, work)
    assert path.read_bytes() == content


def test_a_database_of_another_program_is_never_written_to(tmp_path: Path) -> None:
    path = tmp_path / "control.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE users (name TEXT)")
    other.close()
    before = path.read_bytes()

    async def work(store: SqliteControl) -> None:
        with pytest.raises(Unavailable, match="another program"):
            await store.put("a", 1, expected=None, by="me")

    run(path, work)
    assert path.read_bytes() == before


def test_a_file_that_is_deleted_under_two_processes_is_made_anew_and_is_one_file_for_both(tmp_path: Path) -> None:
    path = tmp_path / "control.db"

    async def work(one: SqliteControl) -> None:
        other = await SqliteControl.open(f"sqlite:///{path}")
        await one.put("a", 1, expected=None, by="me")
        assert (await read(other, "a")) is not None
        for file in tmp_path.iterdir():
            file.unlink()
        written = await one.put("a", 2, expected=None, by="me")
        assert await read(other, "a") == written
        assert (await other.put("a", 3, expected=1, by="me")).revision == 2
        found = await read(one, "a")
        assert found is not None
        assert found.value == 3
        await other.close()

    run(path, work)
    with apsw.Connection(str(path)) as connection:
        assert connection.execute("SELECT max(revision) FROM changes").get == 2


def test_while_another_writes_for_too_long_a_write_is_unavailable_and_a_read_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_file, "BUSY_MS", 20)

    async def work(store: SqliteControl) -> None:
        written = await store.put("a", 1, expected=None, by="me")
        other = apsw.Connection(str(tmp_path / "control.db"))
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="locked"):
            await store.put("a", 2, expected=1, by="me")
        assert await read(store, "a") == written
        other.execute("ROLLBACK")
        other.close()
        assert (await store.put("a", 2, expected=1, by="me")).revision == 2

    run(tmp_path / "control.db", work)


def test_a_disk_that_does_not_answer_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    async def work(store: SqliteControl) -> None:
        monkeypatch.setattr(control_sqlite, "SECONDS", 0.02)
        gate = threading.Event()
        store._reader.submit(gate.wait)
        with pytest.raises(Unavailable, match=r"the control file control\.db does not answer"):
            await read(store, "a")
        gate.set()
        monkeypatch.undo()
        assert await read(store, "a") is None

    run(tmp_path / "control.db", work)


def test_what_another_program_wrote_into_it_is_damaged(tmp_path: Path) -> None:
    async def work(store: SqliteControl) -> None:
        await store.put("a", 1, expected=None, by="me")
        other = apsw.Connection(str(tmp_path / "control.db"))
        other.execute("UPDATE changes SET value = x'ff'")
        other.close()
        with pytest.raises(Unavailable, match="the document 'a' in the control store is damaged"):
            await read(store, "a")

    run(tmp_path / "control.db", work)


@pytest.mark.parametrize("folder", ["50% off?", "a#b", "a%20b"])
def test_the_default_lies_in_home_whatever_that_is_called(tmp_path: Path, folder: str) -> None:
    home = tmp_path / folder

    async def main() -> None:
        store = await open_store(ControlStore, Settings(home=home).control_url)  # type: ignore[type-abstract]
        await store.put("a", 1, expected=None, by="me")
        await store.close()

    asyncio.run(main())
    assert (home / "control.db").is_file()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sqlite://", "control in SQLite is a file: write sqlite:///control.db"),
        ("sqlite:///:memory:", "control in SQLite is a file"),
        ("sqlite:///control.db?max_bytes=1", "takes no options, but has 'max_bytes'"),
    ],
)
def test_a_malformed_url_is_one_sentence(url: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        asyncio.run(open_store(ControlStore, url))  # type: ignore[type-abstract]


def test_a_file_that_was_deleted_under_its_connections_is_made_anew_where_others_find_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "control.db"

    async def work(store: SqliteControl) -> None:
        await store.put("a", 1, expected=None, by="me")
        assert await read(store, "a") is not None
        for file in tmp_path.iterdir():
            file.unlink()
        assert await read(store, "a") is None
        await store.put("b", 2, expected=None, by="me")
        other = await SqliteControl.open(f"sqlite:///{path}")
        assert await read(other, "b") is not None
        await other.close()

    run(path, work)
    assert "the control file control.db was deleted or replaced; its contents are lost" in caplog.text
