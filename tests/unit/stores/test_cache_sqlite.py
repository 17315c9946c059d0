"""The cache in a file: what is wrong with the file is an error of each call, and mended when the file is."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import apsw
import pytest

from contracts.stores import SMALL, entry, same
from mlpatterns.errors import Unavailable
from mlpatterns.stores.cache_sqlite import Rows, SqliteCache
from mlpatterns.user_errors import SettingsError

BROKEN = r"the cache file cache\.db cannot be used"


def run(path: Path, work: Callable[[SqliteCache], Awaitable[None]], options: str = "") -> None:
    async def main() -> None:
        store = await SqliteCache.open(f"sqlite:///{path}{options}")
        try:
            await work(store)
        finally:
            await store.close()

    asyncio.run(main())


async def fails(store: SqliteCache) -> None:
    with pytest.raises(Unavailable, match=BROKEN):
        await store.get("a")
    with pytest.raises(Unavailable, match=BROKEN):
        await store.set_many({"a": SMALL}, 60)
    with pytest.raises(Unavailable, match=BROKEN):
        await store.clear("")


def test_a_file_that_is_no_database_fails_each_call_and_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    content = b"this is no database" * 100
    path.write_bytes(content)
    run(path, fails)
    assert path.read_bytes() == content


def test_a_database_of_another_program_is_never_written_to(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE users (name TEXT)")
    other.close()
    before = path.read_bytes()
    run(path, fails)
    assert path.read_bytes() == before


def test_a_folder_that_cannot_be_made_fails_each_call(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    run(tmp_path / "file" / "cache.db", fails)


def test_once_the_file_is_gone_or_mended_it_works_again(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    path.write_bytes(b"no database")

    async def work(store: SqliteCache) -> None:
        await fails(store)
        path.unlink()
        await store.set_many({"a": entry(1)}, 60)
        found = await store.get("a")
        assert found is not None
        same(found, entry(1))

    run(path, work)


def test_a_page_that_was_overwritten_is_an_error_and_no_wrong_answer(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"

    async def fill(store: SqliteCache) -> None:
        await store.set_many({f"a{n}": entry(n) for n in range(300)}, 60)

    async def read(store: SqliteCache) -> None:
        lost = 0
        for n in range(300):
            try:
                found = await store.get(f"a{n}")
            except Unavailable:
                lost += 1
                continue
            if found is None:
                lost += 1
            else:
                same(found, entry(n))
        assert lost > 0

    run(path, fill)
    whole = bytearray(path.read_bytes())
    for start in range(4096 * 3, len(whole), 4096 * 3):
        whole[start : start + 2048] = b"\xa5" * 2048
    path.write_bytes(bytes(whole))
    run(path, read)


def test_a_full_disk_is_an_error_of_the_write_and_what_was_there_is_still_read(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"

    async def work(store: SqliteCache) -> None:
        await store.set_many({"a": entry(1)}, 60)
        connection = store._writing._connection
        assert connection is not None
        connection.pragma("max_page_count", connection.pragma("page_count"))
        with pytest.raises(Unavailable, match="full"):
            await store.set_many({f"b{n}": entry(n) for n in range(1000)}, 60)
        assert await store.get("a") is not None
        assert await store.get("b0") is None
        await store.set_many({"c": entry(1)}, 60)  # on a new connection, which finds room again

    run(path, work)


def test_many_writes_at_once_are_few_commits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(store: SqliteCache) -> None:
        written: list[int] = []
        write = store._writing.write

        def counted(batch: Sequence[tuple[Rows, float]]) -> None:
            written.append(len(batch))
            write(batch)

        monkeypatch.setattr(store._writing, "write", counted)
        await asyncio.gather(*(store.set_many({f"a{n}": SMALL}, 60) for n in range(200)))
        assert sum(written) == 200
        assert len(written) < 100
        assert store.usage.entries == 200

    run(tmp_path / "cache.db", work)


def test_a_write_whose_caller_has_left_before_it_began_is_not_made(tmp_path: Path) -> None:
    async def work(store: SqliteCache) -> None:
        import threading

        gate = threading.Event()
        store._writer.submit(gate.wait)
        leaving, staying = (asyncio.create_task(store.set_many({key: SMALL}, 60)) for key in "ab")
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.wait([leaving])
        gate.set()
        await staying
        assert set(await store.get_many(["a", "b"])) == {"b"}

    run(tmp_path / "cache.db", work)


def test_it_commits_to_a_log_beside_the_file_and_does_not_wait_for_the_disk(tmp_path: Path) -> None:
    async def work(store: SqliteCache) -> None:
        await store.set_many({"a": SMALL}, 60)
        connection = store._writing._connection
        assert connection is not None
        assert (connection.pragma("journal_mode"), connection.pragma("synchronous")) == ("wal", 1)

    run(tmp_path / "cache.db", work)
    assert apsw.Connection(str(tmp_path / "cache.db")).pragma("integrity_check") == "ok"


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:///?max_entries=1"])
def test_a_cache_without_a_file_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="a cache in SQLite is a file"):
        asyncio.run(SqliteCache.open(url))
