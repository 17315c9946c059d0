"""The JobStore in a file, for all processes of one host: `sqlite:///jobs.db`.

Acknowledged jobs and committed results survive a kill of every process. They also survive a crash of the machine
(`synchronous=FULL`), if the disk keeps what it has acknowledged. Concurrent writes are committed together. The file
must be on a local disk: SQLite's WAL does not work over a network. Leases use the wall clock of the host.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, Self

from mlpatterns.stores.grouped import GroupThread
from mlpatterns.stores.jobs import (
    ENDED,
    Bounds,
    ClaimRequest,
    ClaimResult,
    Figures,
    Finish,
    Job,
    JobDescription,
    NewJob,
    Retention,
    SweepResult,
)
from mlpatterns.stores.jobs_sqlite import claiming, ending, queueing, reading
from mlpatterns.stores.jobs_sqlite.file import Connected, JobsFile
from mlpatterns.stores.jobs_sqlite.leases import Leases
from mlpatterns.stores.jobs_sqlite.watching import Ends, FileChanges
from mlpatterns.stores.sqlite_file import sqlite_path
from mlpatterns.stores.urls import split_url
from mlpatterns.user_errors import SettingsError

__all__ = ["SqliteJobs"]


Many = Callable[[Connected, Sequence[Any]], Sequence[Any]]


def _each(one: Callable[..., Any]) -> Many:
    """A function that calls `one` for each of several callers."""

    def many(on: Connected, asked: Sequence[Any]) -> Sequence[Any]:
        return [one(on, *arguments) for arguments in asked]

    return many


class QueueCall(NamedTuple):
    """One caller's request for a queue. The function `many` serves the requests of several callers together."""

    many: Many
    queue: str
    what: Any


def _jobs_for_each(on: Connected, ids: Sequence[str]) -> Sequence[Job | None]:
    found = reading.jobs(on, ids)
    return [found.get(each) for each in ids]


CLAIM, CANCEL, SWEEP = _each(claiming.claim), _each(ending.cancel), _each(ending.sweep)
REPLAY, DESCRIBE = _each(queueing.replay), _each(queueing.describe)
DEAD, FIGURES, ENDED_OF = _each(reading.dead), _each(reading.figures), _each(reading.ended)
DESCRIPTION = _each(reading.description)


class SqliteJobs:
    """The JobStore with four threads. One thread does the callers' writes in groups, one renews leases, and one reads.
    The fourth checks whether another process has written, as long as a caller waits for a change."""

    def __init__(self, path: Path) -> None:
        self._writing, self._reading = JobsFile(path), JobsFile(path)
        self._writer = GroupThread(f"jobs {path.name}", self._write, self._writing.close)
        self._reader = GroupThread(f"jobs {path.name} read", self._read, self._reading.close)
        self._leases = Leases(JobsFile(path))
        self.changes = FileChanges(JobsFile(path))
        self._ends = Ends(self.changes, self._ended)
        self._returned: set[asyncio.Task[bool]] = set()

    @classmethod
    async def open(cls, url: str) -> Self:
        base, options = split_url(url)
        if options:
            raise SettingsError(f"{base} takes no options, but has {', '.join(sorted(options))[:64]!r}")
        return cls(sqlite_path(base, "jobs"))

    async def close(self) -> None:
        await self._writer.settled()  # then the jobs of cancelled claims go back to the queue
        if self._returned:
            await asyncio.wait(self._returned)
        for part in (self._ends, self.changes, self._leases, self._writer, self._reader):
            await part.close()

    # ---- queueing and claiming ----

    async def enqueue(self, queue: str, job: NewJob, bounds: Bounds) -> str:
        queued: str = await self._written(queueing.enqueue, queue, (job, bounds))
        return queued

    async def replay(self, queue: str, ids: Sequence[str] | None, seconds: float) -> int:
        replayed: int = await self._written(REPLAY, queue, (ids, seconds))
        return replayed

    async def claim(self, queue: str, wanted: ClaimRequest) -> ClaimResult:
        def unwanted(claimed: ClaimResult) -> None:
            for claim in claimed.claims:
                task = asyncio.ensure_future(self.finish(queue, Finish(claim, "queued")))
                self._returned.add(task)
                task.add_done_callback(self._returned.discard)

        claimed: ClaimResult = await self._writer.submit(QueueCall(CLAIM, queue, (wanted,)), unwanted)
        if claimed.claims:
            self._leases.add(claimed.claims, wanted)
        return claimed

    # ---- ending ----

    async def finish(self, queue: str, finish: Finish) -> bool:
        with self._leases.ending(finish.claim):
            counted: bool = await self._written(ending.finish, queue, finish)
        return counted

    async def cancel(self, queue: str, id: str, ttl: float) -> Job | None:
        await self._written(CANCEL, queue, (id, ttl))
        return await self.get(queue, id)

    async def sweep(self, queue: str, retention: Retention) -> SweepResult:
        swept: SweepResult = await self._writer.submit(QueueCall(SWEEP, queue, (retention,)))
        if swept != SweepResult():
            self.changes.notify()
        return swept

    # ---- reading ----

    async def get(self, queue: str, id: str) -> Job | None:
        job: Job | None = await self._reader.submit(QueueCall(_jobs_for_each, queue, id))
        return job

    async def wait(self, queue: str, id: str, seconds: float) -> Job | None:
        end = self._ends.expect(queue, id)  # before the read, so that no end is missed between the two
        try:
            job = await self.get(queue, id)
            if job is None or job.state in ENDED or seconds <= 0:
                return job
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await end
            return await self.get(queue, id)
        finally:
            end.cancel()

    async def dead(self, queue: str, after: str, limit: int) -> list[Job]:
        found: list[Job] = await self._reader.submit(QueueCall(DEAD, queue, (after, limit)))
        return found

    async def figures(self, queue: str) -> Figures:
        figures: Figures = await self._reader.submit(QueueCall(FIGURES, queue, ()))
        return figures

    async def describe(self, queue: str, description: bytes) -> None:
        await self._written(DESCRIBE, queue, (description,))

    async def description(self, queue: str) -> JobDescription | None:
        found: JobDescription | None = await self._reader.submit(QueueCall(DESCRIPTION, queue, ()))
        return found

    async def _ended(self, queue: str, ids: Sequence[str]) -> list[str]:
        found: list[str] = await self._reader.submit(QueueCall(ENDED_OF, queue, (ids,)))
        return found

    # ---- the threads ----

    async def _written(self, many: Any, queue: str, what: Any) -> Any:
        result = await self._writer.submit(QueueCall(many, queue, what))
        self.changes.notify()
        return result

    def _write(self, calls: Sequence[QueueCall]) -> Sequence[Any]:
        """Executes all `calls` in one transaction. Writes nothing if there are only claims and no job is due. Runs in
        the writing thread."""
        if all(call.many is CLAIM for call in calls):
            idle = [self._idle(call.queue) for call in calls]
            if all(idle):
                return idle
        with self._writing.writing() as connection:
            return _grouped(calls, lambda queue: self._writing.made(connection, queue))

    def _idle(self, queue: str) -> ClaimResult | None:
        """The answer to a claim if no job is due; None if a job is due."""
        with self._writing.reading() as connection:
            on = self._writing.known(connection, queue)
            due = claiming.next_due(on)
        if due is not None and due <= on.now:
            return None
        return ClaimResult((), None if due is None else (due - on.now) / 1000)

    def _read(self, calls: Sequence[QueueCall]) -> Sequence[Any]:
        """Executes all `calls`. Runs in the reading thread."""
        with self._reading.reading() as connection:
            return _grouped(calls, lambda queue: self._reading.known(connection, queue))


def _grouped(calls: Sequence[QueueCall], connected: Callable[[str], Connected]) -> list[Any]:
    """The results of `calls`. Calls of the same kind for the same queue are done together."""
    results: list[Any] = [None] * len(calls)
    groups: dict[tuple[Many, str], list[int]] = {}
    for position, call in enumerate(calls):
        groups.setdefault((call.many, call.queue), []).append(position)
    for (many, queue), positions in groups.items():
        for position, result in zip(
            positions, many(connected(queue), [calls[position].what for position in positions]), strict=True
        ):
            results[position] = result
    return results
