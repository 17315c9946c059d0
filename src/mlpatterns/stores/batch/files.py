"""Files of batch runs: their URLs, their digests, their checkpoints, and files that grow page by page.

Before a run appends to a `GrowingFile`, it cuts the file to the size in the last checkpoint. So data after that size,
which a killed process left, is removed and written again, and no row is in the file twice.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import msgspec
from msgspec import Struct

from mlpatterns.durable import sync_folder, write_whole
from mlpatterns.errors import Conflict, Unavailable
from mlpatterns.stores.batch import BatchRun
from mlpatterns.stores.urls import split_url
from mlpatterns.user_errors import SettingsError, UnknownName

__all__ = [
    "SUFFIXES", "GrowingFile", "RunCheckpoint", "batch_url", "file_digest", "file_place", "load_checkpoint",
    "save_checkpoint",
]  # fmt: skip

SUFFIXES = ("csv", "parquet")
SAMPLED = 65_536  # bytes at each end of a file that are part of its digest


def batch_url(text: str) -> str:
    """The URL of a batch source or sink. `text` is a URL or a path that ends with `.csv` or `.parquet`.

    Raises:
        SettingsError: it is neither.
    """
    if "://" in text:
        return text
    path, _, query = text.partition("?")
    suffix = Path(path).suffix.lower().removeprefix(".")
    if suffix not in SUFFIXES:
        raise SettingsError(
            f"{text!r} is not a table: write a file that ends with .csv or .parquet, or sqlite:///FILE?table=NAME, "
            "postgresql://… or mysql://…"
        )
    return f"{suffix}://{quote(str(Path(path).absolute()))}{'?' if query else ''}{query}"


def file_place(url: str) -> tuple[Path, str | None]:
    """The file of a URL, and the name of the key column, if the URL has one.

    Raises:
        SettingsError: the URL has another option, or does not name a file.
    """
    base, given = split_url(url)
    key = given.pop("key", None)
    path = unquote(base.partition("://")[2])
    if given or not path or key == "":
        raise SettingsError(f"a file of batch rows is FILE or FILE?key=COLUMN, not {base}")
    return Path(path), key


def file_digest(path: Path) -> str:
    """A digest of the size, the beginning and the end of a file, to detect that it changed during a run.

    Raises:
        UnknownName: the file does not exist or cannot be read.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            state = hashlib.sha256(str(size).encode() + file.read(SAMPLED))
            file.seek(max(0, size - SAMPLED))
            state.update(file.read(SAMPLED))
    except OSError as error:
        raise UnknownName("file", path.name, hint=f"it cannot be read: {error.strerror}") from error
    return state.hexdigest()


class RunCheckpoint(Struct, frozen=True):
    """The state of a run, and the valid parts of its files: bytes by file, and part files in order."""

    run: BatchRun
    sizes: dict[str, int]
    parts: list[dict[str, Any]] = []


def load_checkpoint(path: Path) -> RunCheckpoint | None:
    """The checkpoint in a file, or None if there is no such file.

    Raises:
        Unavailable: the file is not a checkpoint, or cannot be read.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=RunCheckpoint)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise Unavailable(f"{path.name} is not a checkpoint of a batch run; delete it to begin anew") from error


def save_checkpoint(path: Path, checkpoint: RunCheckpoint) -> None:
    """Writes a checkpoint, which replaces the previous one."""
    write_whole(path, msgspec.json.format(msgspec.json.encode(checkpoint), indent=1))


class GrowingFile:
    """A file that only one process at a time appends to. Call `cut` before `append`.

    Raises:
        Conflict: another process appends to it.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.size = path, 0
        is_new = not path.exists()
        self._file = path.open("ab")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(self._file.fileno()).st_ino != path.stat().st_ino:
                raise BlockingIOError  # another process has just renamed the file
        except (BlockingIOError, FileNotFoundError):
            self._file.close()
            raise Conflict(f"another batch run writes to {path.name}; this one stops") from None
        if is_new:
            sync_folder(path.parent)

    def cut(self, size: int) -> None:
        """Removes everything after the first `size` bytes.

        Raises:
            Unavailable: the file is shorter.
        """
        if os.fstat(self._file.fileno()).st_size < size:
            raise Unavailable(f"{self.path.name} is shorter than its checkpoint says; restart the run")
        os.ftruncate(self._file.fileno(), size)
        self.size = size

    def append(self, content: bytes) -> int:
        """Appends bytes and waits for the disk; returns the new size, for the next checkpoint."""
        self._file.write(content)
        self._file.flush()
        os.fsync(self._file.fileno())
        self.size += len(content)
        return self.size

    def close(self) -> None:
        self._file.close()
