"""Watches the file of an SQLite JobStore for changes by any process, and finds awaited jobs that have ended."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from mlpatterns.errors import Unavailable
from mlpatterns.stores.jobs_sqlite.file import JobsFile

__all__ = ["Ends", "FileChanges"]

LOOK, LOOK_IDLE, IDLE = 0.001, 0.005, 0.2  # seconds between checks: LOOK_IDLE after IDLE seconds without a change
AFTER_ERROR = 0.2
A_WAITER, MOST_PAUSE = 20e-6, 0.05  # seconds between queries for ended jobs: per waiter, and at most


class FileChanges:
    """Checks the version of the file as long as a caller waits for a change. A check takes microseconds."""

    def __init__(self, file: JobsFile) -> None:
        self.count = 0
        self._file = file
        self._waiting: set[asyncio.Future[None]] = set()
        self._wanted = threading.Event()
        self._thread: threading.Thread | None = None
        self._closing = False
        self._loop: asyncio.AbstractEventLoop

    async def wait(self, since: int, seconds: float | None) -> None:
        if self.count != since:
            return
        if self._thread is None:
            self._loop = asyncio.get_running_loop()
            self._thread = threading.Thread(target=self._run, name="job changes", daemon=True)
            self._thread.start()
        changed = self._loop.create_future()
        self._waiting.add(changed)
        self._wanted.set()
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await changed
        finally:
            self._waiting.discard(changed)

    def notify(self) -> None:
        """Wakes all waiters, because the file has changed."""
        self.count += 1
        waiting, self._waiting = self._waiting, set()
        for changed in waiting:
            if not changed.done():
                changed.set_result(None)

    async def close(self) -> None:
        self._closing = True
        self._wanted.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        version, at = -1, time.monotonic()
        while not self._closing:
            if not self._waiting:
                self._wanted.clear()
                if not self._waiting and not self._closing:  # callers set both before they set `_wanted`
                    self._wanted.wait()
                continue
            try:
                seen = self._file.version()
            except Unavailable:
                time.sleep(AFTER_ERROR)
                seen = -1  # wake the waiters: their own call reports the error
            if seen != version or seen == -1:
                version, at = seen, time.monotonic()
                try:
                    self._loop.call_soon_threadsafe(self.notify)
                except RuntimeError:
                    break  # the loop has closed
            time.sleep(LOOK if time.monotonic() - at < IDLE else LOOK_IDLE)
        self._file.close()


class Ends:
    """Waits for jobs to end. After a change, one query for each queue covers all awaited jobs.

    Args:
        ended: takes a queue and ids, and returns the ids of jobs that have ended.
    """

    def __init__(self, changes: FileChanges, ended: Callable[[str, Sequence[str]], Awaitable[list[str]]]) -> None:
        self._changes, self._ended = changes, ended
        self._awaited: dict[str, dict[str, list[asyncio.Future[None]]]] = defaultdict(dict)
        self._task: asyncio.Task[None] | None = None

    def expect(self, queue: str, id: str) -> asyncio.Future[None]:
        """A future that is done when the job has ended. Cancel it to stop waiting."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._awaited[queue].setdefault(id, []).append(future)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._watch(), name="job ends")
        return future

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _watch(self) -> None:
        while True:
            seen = self._changes.count
            for queue, awaited in list(self._awaited.items()):
                for left in [job for job, futures in awaited.items() if all(future.done() for future in futures)]:
                    del awaited[left]
                for ended in await self._ended_of(queue, list(awaited)):
                    for future in awaited.pop(ended, ()):
                        if not future.done():
                            future.set_result(None)
            number = sum(map(len, self._awaited.values()))
            if not number:
                self._task = None
                return
            await asyncio.sleep(min(MOST_PAUSE, number * A_WAITER) if number > 100 else 0)
            await self._changes.wait(seen, None)

    async def _ended_of(self, queue: str, ids: Sequence[str]) -> list[str]:
        if not ids:
            return []
        try:
            return await self._ended(queue, ids)
        except Unavailable:
            await asyncio.sleep(AFTER_ERROR)
            return []
