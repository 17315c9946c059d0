"""The ObjectStore: bytes by key, written once and never over. What is written has its name only when it is whole.

Its calls block: call it in a thread. Those who use it, a loader and a training, are no servers of requests.
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
    """One of a listing. `bytes` is its size; `modified` in seconds of the wall clock of whoever stores it."""

    key: str
    bytes: int
    modified: float


class ObjectStore(Protocol):
    """Keys are names with slashes between them, below the URL that the store was opened with.

    Opening one fails on a malformed URL only, and there is nothing to close. Every call raises InvalidInput for what is
    no key, and Unavailable where the store does not answer as it should.
    """

    def chunks(self, key: str, most: int) -> Iterator[bytes]:
        """The object in pieces; each comes within seconds, or the store does not answer.

        Raises:
            NotFound: there is none.
            TooLarge: it has more than `most` bytes; they are not read.
        """
        ...

    def read(self, key: str, most: int) -> bytes:
        """The whole object; raises as `chunks`."""
        return b"".join(self.chunks(key, most))

    def create(self, key: str, content: bytes) -> None:
        """Writes an object that is not there yet; it survives a loss of power once this returns.

        Raises:
            Conflict: there is one of that key, also one that was made at this very time.
        """
        ...

    def listed(self, folder: str = "") -> list[StoredObject]:
        """Every object whose key begins with `folder` and a slash, by key; all there are for the empty one."""
        ...

    def delete(self, key: str) -> None:
        """Removes an object; nothing happens where there is none."""
        ...


def is_key(text: str) -> bool:
    """No part of it is empty, goes upwards, or has characters that no name should have."""
    return all(_PART.fullmatch(part) for part in text.split("/"))


def checked_key(key: str) -> str:
    """`key`, if it is one.

    Raises:
        InvalidInput: it is none.
    """
    if not is_key(key):
        raise InvalidInput(f"{key[:64]!r} is no key of an object: write names with slashes between them")
    return key
