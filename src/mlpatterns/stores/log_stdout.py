"""The LogSink of JSON lines on standard output: `stdout://`, for platforms that collect logs from there.

Written lines survive a kill of the process if they have reached the reader of the pipe.
"""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Self

from mlpatterns.errors import Unavailable
from mlpatterns.redaction import redact
from mlpatterns.stores.log import Record
from mlpatterns.stores.log_codec import lines_of
from mlpatterns.stores.sqlite_file import run_in
from mlpatterns.user_errors import SettingsError

__all__ = ["StdoutLog"]

LOOK_MS = 200  # milliseconds between checks whether the log is being closed, while the pipe is full


class StdoutLog:
    """Writes one line for each record. A reader that stops reading blocks only the log."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="log stdout")
        self._closing = False

    @classmethod
    async def open(cls, url: str) -> Self:
        if url != "stdout://":
            raise SettingsError(f"standard output has no name and no options: write stdout://, not {redact(url)}")
        return cls()

    async def write(self, records: Sequence[Record]) -> None:
        await run_in(self._thread, lambda: self._write(records))

    async def close(self) -> None:
        self._closing = True
        self._thread.shutdown(wait=False)

    def _write(self, records: Sequence[Record]) -> None:
        rest = memoryview(b"".join([line + b"\n" for _, _, _, line in lines_of(records)]))
        try:
            sys.stdout.flush()  # earlier output of the process comes first
            file = sys.stdout.fileno()
            reader = select.poll()
            reader.register(file, select.POLLOUT)
            while rest:
                # In pieces that never block: a thread blocked in a write would delay the end of the process.
                while not reader.poll(LOOK_MS):
                    if self._closing:
                        raise BrokenPipeError
                rest = rest[os.write(file, rest[: select.PIPE_BUF]) :]
        except (OSError, ValueError) as error:
            raise Unavailable("standard output cannot be written to") from error
