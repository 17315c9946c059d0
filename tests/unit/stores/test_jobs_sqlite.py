"""What is SQLite's own in a queue's store: the file, the version of its tables, the groups of its commits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import apsw
import pytest

from mlpatterns.errors import Unavailable
from mlpatterns.stores.jobs import Bounds, ClaimRequest, Finish, NewJob
from mlpatterns.stores.jobs_sqlite import SqliteJobs
from mlpatterns.user_errors import SettingsError

WIDE = Bounds(10_000, 10**9)


def run(path: Path, work: Callable[[SqliteJobs], Awaitable[None]]) -> None:
    async def main() -> None:
        store = SqliteJobs(path)
        try:
            await work(store)
        finally:
            await store.close()

    asyncio.run(main())


@pytest.mark.parametrize("url", ["sqlite:///", "sqlite:///jobs.db?ttl=5", "sqlite:///:memory:"])
def test_a_url_that_names_no_file_or_has_options_is_refused(url: str) -> None:
    with pytest.raises(SettingsError):
        asyncio.run(SqliteJobs.open(url))


def test_the_file_of_another_program_or_version_is_not_touched(tmp_path: Path) -> None:
    other, newer = tmp_path / "other.db", tmp_path / "newer.db"
    apsw.Connection(str(other)).execute("CREATE TABLE theirs (x)")

    async def use(store: SqliteJobs) -> None:
        await store.figures("q")

    run(newer, use)
    apsw.Connection(str(newer)).pragma("user_version", 99)

    async def refused(store: SqliteJobs) -> None:
        with pytest.raises(Unavailable, match=r"another (program|version)"):
            await store.enqueue("q", NewJob("a", b"", 60), WIDE)

    for path in (other, newer):
        before = path.read_bytes()
        run(path, refused)
        assert path.read_bytes() == before


def test_it_is_used_again_when_it_is_back(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"

    async def work(store: SqliteJobs) -> None:
        path.mkdir()
        with pytest.raises(Unavailable):
            await store.enqueue("q", NewJob("a", b"", 60), WIDE)
        path.rmdir()
        assert await store.enqueue("q", NewJob("a", b"", 60), WIDE) == "a"

    run(path, work)


def test_what_many_ask_for_at_once_is_committed_in_few_transactions(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"

    async def work(store: SqliteJobs) -> None:
        await store.figures("q")
        watching = apsw.Connection(str(path))
        before = watching.pragma("data_version")
        commits = 0
        steps = [asyncio.create_task(store.enqueue("q", NewJob(f"j{n}", b"x", 60), WIDE)) for n in range(500)]
        while not all(step.done() for step in steps):
            await asyncio.sleep(0)
            now = watching.pragma("data_version")
            commits, before = commits + (now != before), now
        assert commits <= 20
        assert (await store.figures("q")).queued == 500
        watching.close()

    run(path, work)


def test_it_is_synced_to_the_disk_at_each_commit(tmp_path: Path) -> None:
    async def work(store: SqliteJobs) -> None:
        await store.enqueue("q", NewJob("a", b"", 60), WIDE)
        connection = store._writing._connection
        assert connection is not None
        # The thread that it belongs to is idle now.
        assert connection.pragma("synchronous") == 2
        assert connection.pragma("journal_mode") == "wal"

    run(tmp_path / "jobs.db", work)


def test_a_number_of_a_row_is_never_given_again(tmp_path: Path) -> None:
    """A claim that comes back late must not meet another job in its row."""

    async def work(store: SqliteJobs) -> None:
        await store.enqueue("q", NewJob("a", b"", 60), WIDE)
        (first,) = (await store.claim("q", ClaimRequest(1, 60, 60, True, lambda claim: None))).claims
        await store.finish("q", Finish(first, "done", keep=0.0))
        await asyncio.sleep(0.01)
        from mlpatterns.stores.jobs import Retention

        assert (await store.sweep("q", Retention(3, 1, 1))).forgotten == 1
        await store.enqueue("q", NewJob("b", b"", 60), WIDE)
        (second,) = (await store.claim("q", ClaimRequest(1, 60, 60, True, lambda claim: None))).claims
        assert second.row > first.row

    run(tmp_path / "jobs.db", work)
