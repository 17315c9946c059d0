"""The ObjectStore in a folder: `file:///var/lib/models`. An object is a file below it.

A file gets its final name when it is complete and on the disk. If the process is killed before that, a file
`.partial-…` is left.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self
from urllib.parse import unquote
from uuid import uuid4

from mlpatterns.durable import sync_folder, write_synced
from mlpatterns.errors import Conflict, NotFound, TooLarge, Unavailable
from mlpatterns.redaction import redact
from mlpatterns.stores.objects import ObjectStore, StoredObject, checked_key
from mlpatterns.user_errors import SettingsError

__all__ = ["FileObjects", "folder_of"]

PARTIAL = ".partial-"
CHUNK = 1 << 20  # bytes read at a time


def folder_of(url: str) -> Path:
    """The folder of a file URL.

    Raises:
        SettingsError: the URL does not name a folder of this machine.
    """
    match = re.fullmatch(r"file://(/[^?#]*)", url)
    if match is None:
        raise SettingsError(f"a folder must be written as file:///FOLDER, with its whole path, not {redact(url)}")
    return Path(unquote(match[1]))


class FileObjects(ObjectStore):
    """Files below `root`, which is created with the first file."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @classmethod
    def open(cls, url: str) -> Self:
        return cls(folder_of(url))

    def chunks(self, key: str, most: int) -> Iterator[bytes]:
        path = self._path(key)
        with self._answering():
            try:
                with path.open("rb") as file:
                    if os.fstat(file.fileno()).st_size > most:
                        raise TooLarge(f"the object {key} has more than {most} bytes")
                    while chunk := file.read(CHUNK):
                        yield chunk
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                raise NotFound(f"there is no object {key}") from None

    def create(self, key: str, content: bytes) -> None:
        path = self._path(key)
        partial = path.with_name(f"{PARTIAL}{uuid4().hex}")
        with self._answering():
            _make(path.parent)
            try:
                write_synced(partial, content)
                os.link(partial, path)  # unlike a rename, a link never replaces a file
            except FileExistsError:
                raise Conflict(f"there is an object {key} already, and objects are never overwritten") from None
            finally:
                partial.unlink(missing_ok=True)
            sync_folder(path.parent)

    def listed(self, folder: str = "") -> list[StoredObject]:
        top = self._path(folder) if folder else self._root
        found = []
        with self._answering():
            for path in top.rglob("*"):
                with suppress(FileNotFoundError):  # deleted meanwhile
                    if path.is_file():
                        state = path.stat()
                        key = path.relative_to(self._root).as_posix()
                        found.append(StoredObject(key, state.st_size, state.st_mtime))
        return sorted(found, key=lambda one: one.key)

    def delete(self, key: str) -> None:
        path = self._path(key)
        with self._answering():
            with suppress(NotADirectoryError):  # a part of the path is a file, so there is no such object
                path.unlink(missing_ok=True)
            if path.parent != self._root:
                with suppress(OSError):  # the folder has other files, or is already deleted
                    path.parent.rmdir()

    def _path(self, key: str) -> Path:
        return self._root / checked_key(key)

    @contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise Unavailable(f"cannot use {self._root}: {(error.strerror or str(error)).lower()}") from error


def _make(folder: Path) -> None:
    """Creates the folder and its parents, and flushes them to the disk."""
    if folder.is_dir():
        return
    _make(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)
