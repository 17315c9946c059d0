"""The log in a file: what it forgets, what it refuses, and that a record somebody has spoilt holds up nobody."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import apsw
import pytest
from msgspec.structs import replace

from contracts.logs import record, said
from mlpatterns.errors import Unavailable
from mlpatterns.stores.log import Feedback, LogQuery
from mlpatterns.stores.log_sqlite import CONDITIONS, FIRST, SqliteLog
from mlpatterns.user_errors import SettingsError


def run(path: Path, work: Callable[[SqliteLog], Awaitable[None]], options: str = "") -> None:
    async def main() -> None:
        store = await SqliteLog.open(f"sqlite:///{path}{options}")
        try:
            await work(store)
        finally:
            await store.close()

    asyncio.run(main())


async def numbers(store: SqliteLog, **asked: float) -> list[float]:
    return [each.at for each in (await store.read(LogQuery(**asked))).records]  # type: ignore[arg-type]


def test_what_is_past_its_age_goes_with_the_next_write_feedback_too(tmp_path: Path) -> None:
    now = time.time()
    old, new = now - 2 * 86_400, now - 86_400 / 2

    async def work(store: SqliteLog) -> None:
        await store.write([replace(record(1), at=old), replace(record(2), at=new)])
        await store.add_feedback([Feedback("id-1", "label", 1, old), Feedback("id-2", "label", 1, new)])
        await store.write([replace(record(3), at=now)])
        assert await numbers(store) == [new, now]
        assert [each.prediction_id for each in (await store.read_feedback()).feedback] == ["id-2"]

    run(tmp_path / "log.db", work, "?max_age_days=1")


def test_without_options_nothing_is_forgotten(tmp_path: Path) -> None:
    async def work(store: SqliteLog) -> None:
        await store.write([record(n) for n in range(50)])
        assert len(await numbers(store)) == 50

    run(tmp_path / "log.db", work)


def test_a_place_is_never_used_again_although_the_last_records_are_gone(tmp_path: Path) -> None:
    async def work(store: SqliteLog) -> None:
        await store.write([record(1), record(2)])
        after = (await store.read(LogQuery())).after
        with apsw.Connection(str(tmp_path / "log.db")) as other:
            other.execute("DELETE FROM records")
        await store.write([record(3)])
        assert await numbers(store, after=after) == [3.0]

    run(tmp_path / "log.db", work)


def test_a_record_that_was_spoilt_is_left_out_and_the_next_are_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(store: SqliteLog) -> None:
        await store.write([record(n) for n in range(3)])
        with apsw.Connection(str(tmp_path / "log.db")) as other:
            other.execute("UPDATE records SET body = '{\"prediction_id\": 7}' WHERE at = 1")
        assert await numbers(store) == [0.0, 2.0]
        page = await store.read(LogQuery(limit=2))
        assert await numbers(store, after=page.after) == [2.0]

    run(tmp_path / "log.db", work)
    assert re.search(r"record \d+ of the log cannot be read", caplog.text)


def test_only_what_is_new_enough_is_read_for_a_query_by_time(tmp_path: Path) -> None:
    """Not the whole file: the plan begins at the first record of that time."""

    async def work(store: SqliteLog) -> None:
        await store.write([record(n) for n in range(100)])
        with apsw.Connection(str(tmp_path / "log.db")) as other:
            statement = f"SELECT id FROM records WHERE id > 0 AND {CONDITIONS['since']} AND {FIRST} ORDER BY id LIMIT 9"
            plan = " ".join(str(row) for row in other.execute(f"EXPLAIN QUERY PLAN {statement}", {"since": 90.0}))
        assert "records_by_time (at>" in plan
        assert "SCAN" not in plan
        assert await numbers(store, since=90.0, limit=3) == [90.0, 91.0, 92.0]

    run(tmp_path / "log.db", work)


async def fails(store: SqliteLog) -> None:
    with pytest.raises(Unavailable, match=r"the log file log\.db cannot be used"):
        await store.write([record(1)])
    with pytest.raises(Unavailable, match=r"the log file log\.db cannot be used"):
        await store.read(LogQuery())
    with pytest.raises(Unavailable, match=r"the log file log\.db cannot be used"):
        await store.add_feedback([said("a", "label", 1)])
    with pytest.raises(Unavailable, match=r"the log file log\.db cannot be used"):
        await store.read_feedback()


def test_a_file_of_another_program_or_no_database_is_never_written_to(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE users (name TEXT)")
    other.close()
    for content in (path.read_bytes(), b"this is no database" * 100):
        path.write_bytes(content)
        run(path, fails)
        assert path.read_bytes() == content


def test_a_file_of_another_version_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    run(path, lambda store: store.write([record(1)]))
    with apsw.Connection(str(path)) as other:
        other.pragma("user_version", 99)

    async def work(store: SqliteLog) -> None:
        with pytest.raises(Unavailable, match="another version of mlpatterns made it; move it away"):
            await store.write([record(2)])

    run(path, work)


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:///x?max_age_days=a", "sqlite:///x?keep=1"]
)
def test_a_malformed_url_is_refused(url: str) -> None:
    with pytest.raises(SettingsError):
        asyncio.run(SqliteLog.open(url))


def test_who_reads_on_finds_what_is_written_after_the_file_was_deleted(tmp_path: Path) -> None:
    async def main() -> None:
        store = await SqliteLog.open(f"sqlite:///{tmp_path}/log.db")
        await store.write([record(n) for n in range(5)])
        await store.add_feedback([said("id-1", "label", n) for n in range(5)])
        read, told = await store.read(LogQuery()), await store.read_feedback()
        for file in tmp_path.iterdir():
            file.unlink()
        await store.write([record(7)])
        await store.add_feedback([said("id-7", "label", 1)])
        page = await store.read(LogQuery(after=read.after))
        assert [each.prediction_id for each in page.records] == ["id-7"]
        assert [each.prediction_id for each in (await store.read_feedback(after=told.after)).feedback] == ["id-7"]
        assert (await store.read(LogQuery(after=page.after))).records == ()
        await store.close()

    asyncio.run(main())
