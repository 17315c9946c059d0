"""The ObjectStore: bytes by key. An object is written once, never overwritten, and visible only when it is complete.

Its calls block, so call them in a thread. Its callers, loaders and trainings, do not serve requests.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Protocol

from msgspec import Struct

from mlpatterns.errors import InvalidInput

__all__ = ["ObjectStore", "StoredObject", "checked_key", "is_key"]

_PART = re.compile(r"(?!\.{1,2}\Z)[^/\\\x00-\x1f\x7f]+")


class StoredObject(Struct, frozen=True):
    """An object in a listing: its size in bytes, and when it was modified, in seconds since 1970."""

    key: str
    bytes: int
    modified: float


class ObjectStore(Protocol):
    """Objects by key. A key consists of names with slashes between them, relative to the URL of the store.

    Opening a store fails only if the URL is malformed or a driver is missing, and there is nothing to close. Every call
    raises InvalidInput if the key is not valid, and Unavailable if the store does not answer as expected.
    """

    def chunks(self, key: str, most: int) -> Iterator[bytes]:
        """The object in chunks. If a chunk does not arrive within seconds, the store counts as unavailable.

        Raises:
            NotFound: there is no such object.
            TooLarge: the object has more than `most` bytes. Nothing is read.
        """
        ...

    def read(self, key: str, most: int) -> bytes:
        """The whole object; raises as `chunks` does."""
        return b"".join(self.chunks(key, most))

    def create(self, key: str, content: bytes) -> None:
        """Writes a new object. After the return, it survives a loss of power.

        Raises:
            Conflict: an object with this key exists, or was created at the same time.
        """
        ...

    def listed(self, folder: str = "") -> list[StoredObject]:
        """The objects whose keys begin with `folder` and a slash, ordered by key; all objects if `folder` is empty."""
        ...

    def delete(self, key: str) -> None:
        """Removes an object. Does nothing if there is no such object."""
        ...


def is_key(text: str) -> bool:
    """Whether `text` is a valid key: no part is empty, is `.` or `..`, or has characters that are not allowed."""
    return all(_PART.fullmatch(part) for part in text.split("/"))


def checked_key(key: str) -> str:
    """Returns `key` if it is valid.

    Raises:
        InvalidInput: it is not valid.
    """
    if not is_key(key):
        raise InvalidInput(f"{key[:64]!r} is not an object key: write names with slashes between them")
    return key
