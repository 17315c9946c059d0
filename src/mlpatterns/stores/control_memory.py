"""The ControlStore of one process. Its documents are lost when the process ends."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from typing import Any, Self

from msgspec import Struct

from mlpatterns.interfaces import Document
from mlpatterns.stores.control_codec import KEPT, conflict, document, encode_value

__all__ = ["MemoryControl"]


class MemoryDocument(Struct, frozen=True):
    """One change. The value is stored as JSON, so that no reader can change the value that others read."""

    value: bytes
    revision: int
    by: str
    at: float

    def document(self, key: str) -> Document[Any]:
        return document(key, self.value, self.revision, self.by, self.at)


class MemoryControl:
    """The last changes of each document in a dict, newest first."""

    def __init__(self) -> None:
        self._changes: dict[str, deque[MemoryDocument]] = {}

    @classmethod
    async def open(cls, url: str) -> Self:
        return cls()

    async def close(self) -> None:
        self._changes.clear()

    async def get_many(self, keys: Sequence[str]) -> dict[str, Document[Any]]:
        return {key: self._changes[key][0].document(key) for key in keys if key in self._changes}

    async def put(self, key: str, value: Any, *, expected: int | None, by: str) -> Document[Any]:
        encoded = encode_value(key, value, by)
        stored = self._changes[key][0].revision if key in self._changes else None
        if stored != expected:
            raise conflict(key, stored, expected)
        revision = (stored or 0) + 1
        changes = self._changes.setdefault(key, deque(maxlen=KEPT))
        changes.appendleft(MemoryDocument(encoded, revision, by, time.time()))
        return changes[0].document(key)

    async def history(self, key: str, limit: int = 20) -> list[Document[Any]]:
        return [written.document(key) for written in list(self._changes.get(key, ()))[: max(0, limit)]]
