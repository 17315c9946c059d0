"""The CacheStore in a file, for all workers of one host: `sqlite:///cache.db?max_entries=1000000&max_bytes=256MiB`.

What was written survives a kill of the process. With `synchronous=NORMAL` the last writes may be lost when the machine
goes down, and the file stays whole: a lost entry is only asked for again, so it is not worth a wait for the disk.
What was written first goes first: to note each use would make every look-up a write.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Self

from mlpatterns.stores.cache import CacheEntry, CacheUsage
from mlpatterns.stores.cache_codec import decode_entry, encode_entry
from mlpatterns.stores.cache_sqlite_file import CacheFile, Rows
from mlpatterns.stores.sqlite_file import run_in, sqlite_path
from mlpatterns.stores.urls import bounds_of, split_url
from mlpatterns.tensors import Damaged, Unstorable

__all__ = ["SqliteCache"]

BOUNDS = {"max_entries": 1_000_000, "max_bytes": 256 * 2**20}


class SqliteCache:
    """A thread that reads and one that writes, each with a connection of its own: WAL lets them work side by side.

    Writes that come while one is under way are committed together.
    """

    instant = False

    def __init__(self, path: Path, max_entries: int, max_bytes: int) -> None:
        self._reading, self._writing = (CacheFile(path, max_entries, max_bytes) for _ in range(2))
        self._reader, self._writer = (ThreadPoolExecutor(1, thread_name_prefix=f"cache {path.name}") for _ in range(2))
        self._waiting: deque[tuple[Rows, float, Future[None]]] = deque()
        self._damaged = 0

    @classmethod
    async def open(cls, url: str) -> Self:
        base, given = split_url(url)
        return cls(sqlite_path(base, "a cache"), **bounds_of(url, given, BOUNDS))

    async def close(self) -> None:
        for thread, file in ((self._reader, self._reading), (self._writer, self._writing)):
            await run_in(thread, file.close)
            thread.shutdown(wait=False)

    @property
    def usage(self) -> CacheUsage:
        """As of this process's last write."""
        file = self._writing
        return CacheUsage(file.entries, file.bytes, file.evictions, self._damaged)

    async def get(self, key: str) -> CacheEntry | None:
        return (await self.get_many([key])).get(key)

    async def get_many(self, keys: Sequence[str]) -> dict[str, CacheEntry]:
        found = {}
        for key, value in await run_in(self._reader, lambda: self._reading.read(keys)):
            try:
                found[key] = decode_entry(key, value)
            except Damaged:
                self._damaged += 1
        return found

    async def set_many(self, entries: Mapping[str, CacheEntry], ttl: float) -> None:
        rows = []
        for key, entry in entries.items():
            try:
                rows.append((key, encode_entry(key, entry)))
            except Unstorable:
                self._damaged += 1
        written: Future[None] = Future()
        self._waiting.append((rows, ttl, written))
        self._writer.submit(self._write_all)
        await asyncio.wrap_future(written)

    async def clear(self, prefix: str) -> int:
        return await run_in(self._writer, lambda: self._writing.clear(prefix))

    def _write_all(self) -> None:
        """In the writing thread: all that waits, in one transaction."""
        batch: list[tuple[Rows, float, Future[None]]] = []
        while self._waiting:
            waiting = self._waiting.popleft()
            if waiting[2].set_running_or_notify_cancel():
                batch.append(waiting)
        if not batch:
            return  # it went with the one before
        try:
            self._writing.write([(rows, ttl) for rows, ttl, _ in batch])
        except BaseException as error:
            for _, _, written in batch:
                written.set_exception(error)
        else:
            for _, _, written in batch:
                written.set_result(None)
