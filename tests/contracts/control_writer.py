"""A process that uses a ControlStore: `python -m contracts.control_writer URL WORK NUMBER`; and functions to run it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from core import read
from mlpatterns.errors import Conflict
from mlpatterns.interfaces import ControlStore
from mlpatterns.runtime import SystemClock
from mlpatterns.runtime.shared import SharedDocuments
from mlpatterns.stores import control_sqlite, open_store, postgres_session, redis_connection, sqlite_file

PATIENCE = 60.0  # seconds for a process to do its work
WRITERS = 25
# The changes by each of two processes, in four tasks; in `make chaos` nearly as many as the versions a store keeps.
CHANGES = 48 * int(os.environ.get("MLPATTERNS_CHAOS", "1"))


class Process:
    """A running process that prints lines."""

    def __init__(self, url: str, work: str, number: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "contracts.control_writer", url, work, str(number)],
            cwd=Path(__file__).parents[1],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def line(self) -> str:
        """The next line that it prints; its error output if it has ended."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip() or f"it ended: {self._process.communicate()[1]}"

    def end(self) -> None:
        """Waits for the process to end, and checks that it succeeded."""
        _, complaint = self._process.communicate(timeout=PATIENCE)
        assert self._process.returncode == 0, complaint

    def kill(self) -> None:
        self._process.kill()  # without effect if the process has ended
        self._process.communicate()


@contextmanager
def started(url: str, work: str, number: int = 0) -> Iterator[Process]:
    process = Process(url, work, number)
    try:
        yield process
    finally:
        process.kill()


def run_all(url: str, works: Sequence[str]) -> None:
    """Runs all works in parallel, and checks that all succeeded."""
    processes = [Process(url, work, number) for number, work in enumerate(works)]
    try:
        for process in processes:
            process.end()
    finally:
        for process in processes:
            process.kill()


def large(number: int) -> dict[str, Any]:
    return {"number": number, "whole": [str(number)] * 5000}


async def count(store: ControlStore, number: int) -> None:
    """Each writer adds one, and retries after a conflict with another writer."""

    async def add(by: str) -> None:
        while True:
            document = await read(store, "count")
            value, revision = (document.value, document.revision) if document else (0, None)
            try:
                await store.put("count", value + 1, expected=revision, by=by)
            except Conflict:
                continue
            return

    await asyncio.gather(*(add(f"{number}-{writer}") for writer in range(WRITERS)))


async def change(store: ControlStore, number: int) -> None:
    """Makes this process's share of the changes to one shared document, in four concurrent tasks."""
    document = await SharedDocuments(store, SystemClock()).add("shared", int, 0, None)

    async def some() -> None:
        for _ in range(CHANGES // 4):
            await document.change(lambda value: value + 1, by=str(number))

    await asyncio.gather(*(some() for _ in range(4)))


async def watch(store: ControlStore, number: int) -> None:
    """Prints the value of a document each time it has changed."""
    shown = None
    while shown != "new":
        document = await read(store, "seen")
        if document is not None and document.value != shown:
            shown = document.value
            say(shown)
        await asyncio.sleep(0.01)


async def forever(store: ControlStore, number: int) -> None:
    """Writes large values until it is killed."""
    revision = 0
    while True:
        revision = (await store.put("forever", large(revision + 1), expected=revision or None, by="it")).revision
        if revision == 20:
            say("20")


def say(line: Any) -> None:
    print(line, flush=True)  # noqa: T201 - the test reads it


def be_patient(put: Callable[[object, str, Any], None] = setattr) -> None:
    """Raises the timeouts of the stores, because a busy machine may take longer than an operator would wait."""
    put(sqlite_file, "BUSY_MS", 30_000)
    put(control_sqlite, "SECONDS", 40.0)
    put(redis_connection, "ANSWER_SECONDS", 30.0)
    put(postgres_session, "SECONDS", 30.0)


async def main(url: str, work: str, number: str) -> None:
    be_patient()
    store: Any = await open_store(ControlStore, url)
    await {"count": count, "change": change, "watch": watch, "forever": forever}[work](store, int(number))
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
