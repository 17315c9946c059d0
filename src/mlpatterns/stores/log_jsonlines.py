"""The LogSink of JSON lines in a file: `file:///var/log/predictions.jsonl?rotate_bytes=64MiB&keep=10`.

Written lines survive a kill of the process. Incomplete lines are removed. Several processes may write to one file. A
file that has reached `rotate_bytes` is renamed to `NAME.1`, the previous `NAME.1` to `NAME.2`, and so on. At most
`keep` renamed files are kept.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self
from urllib.parse import unquote

from mlpatterns.errors import Unavailable
from mlpatterns.redaction import redact
from mlpatterns.stores.log import Record
from mlpatterns.stores.log_codec import lines_of
from mlpatterns.stores.sqlite_file import run_in
from mlpatterns.stores.urls import bounds_of, split_url
from mlpatterns.user_errors import SettingsError

__all__ = ["JsonLines"]

LOCK_SECONDS, LOOK = 2.0, 0.005  # seconds: the longest wait for the lock, and between attempts
BOUNDS = {"rotate_bytes": 64 * 2**20, "keep": 10}


class JsonLines:
    """Appends a group of lines together, under a file lock that all processes use."""

    def __init__(self, path: Path, rotate_bytes: int, keep: int) -> None:
        self._path, self._rotate_bytes, self._keep = path, rotate_bytes, keep
        self._file = -1
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"log {path.name}")

    @classmethod
    async def open(cls, url: str) -> Self:
        base, given = split_url(url)
        path = Path(unquote(base.removeprefix("file:").removeprefix("//")))  # not urlsplit: "#" is part of the name
        if not path.is_absolute() or base.endswith("/"):
            raise SettingsError(f"a log of JSON lines is a file: write file:///FOLDER/log.jsonl, not {redact(url)}")
        return cls(path, **bounds_of(url, given, BOUNDS))

    async def write(self, records: Sequence[Record]) -> None:
        await run_in(self._thread, lambda: self._write(records))

    async def close(self) -> None:
        await run_in(self._thread, self._release)
        self._thread.shutdown(wait=False)

    # ---- in the thread ----

    def _write(self, records: Sequence[Record]) -> None:
        lines = b"".join([line + b"\n" for _, _, _, line in lines_of(records)])
        if not lines:
            return
        try:
            file = self._locked()
            try:
                self._append(file, lines)
            finally:
                fcntl.flock(file, fcntl.LOCK_UN)
        except OSError as error:
            self._release()
            raise Unavailable(f"the log file {self._path.name} cannot be written: {error.strerror}") from error

    def _locked(self) -> int:
        """The open file at the path, locked. Rotates it first if it is full."""
        while True:
            if self._file < 0:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._file = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
            _lock(self._file)
            found = os.fstat(self._file)
            if not self._is_at_its_name(found):  # another process or a user has moved it
                self._release()
            elif found.st_size >= self._rotate_bytes:
                self._rotate()
                self._release()
            else:
                return self._file

    def _is_at_its_name(self, found: os.stat_result) -> bool:
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return False
        return (there.st_dev, there.st_ino) == (found.st_dev, found.st_ino)

    def _append(self, file: int, lines: bytes) -> None:
        """Appends all lines or none. If a write fails, for example on a full disk, the written part is removed."""
        size = os.fstat(file).st_size
        if size and os.pread(file, 1, size - 1) != b"\n":  # the last writer was killed in the middle of a line
            size = self._last_line_end(file, size)
            os.ftruncate(file, size)
        try:
            rest = memoryview(lines)
            while rest:
                rest = rest[os.write(file, rest) :]
        except OSError:
            os.ftruncate(file, size)
            raise

    def _last_line_end(self, file: int, size: int) -> int:
        """The end of the last complete line, in bytes."""
        while size > 0:
            start = max(0, size - 65_536)
            end = os.pread(file, size - start, start).rfind(b"\n")
            if end >= 0:
                return start + end + 1
            size = start
        return 0

    def _rotate(self) -> None:
        """Renames the files, so that readers keep the file that they have open. The caller holds the lock."""
        for number in range(self._keep, 0, -1):
            older = self._path.with_name(f"{self._path.name}.{number}")
            newer = self._path.with_name(f"{self._path.name}.{number - 1}") if number > 1 else self._path
            if newer.exists():
                newer.replace(older)

    def _release(self) -> None:
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)  # also releases its lock


def _lock(file: int) -> None:
    """Locks the file without a blocking call: if a stopped process holds the lock, this process can still end."""
    until = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= until:
                raise
            time.sleep(LOOK)
