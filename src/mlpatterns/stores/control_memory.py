"""The ControlStore of one process: what it holds is gone with the process."""

from __future__ import annotations

import time
from collections import deque
from typing import Any, Self

from msgspec import Struct

from mlpatterns.predictor import Change, Document
from mlpatterns.stores.control_codec import KEPT, conflict, decode_value, encode_value

__all__ = ["MemoryControl"]


class Written(Struct, frozen=True):
    """One change; the value as JSON, so that no reader changes what others read."""

    value: bytes
    revision: int
    by: str
    at: float


class MemoryControl:
    """The last changes of each document in a dict, newest first."""

    def __init__(self) -> None:
        self._changes: dict[str, deque[Written]] = {}

    @classmethod
    async def open(cls, url: str) -> Self:
        return cls()

    async def close(self) -> None:
        self._changes.clear()

    async def get(self, key: str) -> Document | None:
        if key not in self._changes:
            return None
        newest = self._changes[key][0]
        return Document(key, decode_value(key, newest.value), newest.revision)

    async def put(self, key: str, value: Any, *, expected: int | None, by: str) -> Document:
        encoded = encode_value(key, value, by)
        stored = self._changes[key][0].revision if key in self._changes else None
        if stored != expected:
            raise conflict(key, stored, expected)
        revision = (stored or 0) + 1
        changes = self._changes.setdefault(key, deque(maxlen=KEPT))
        changes.appendleft(Written(encoded, revision, by, time.time()))
        return Document(key, decode_value(key, encoded), revision)

    async def history(self, key: str, limit: int = 20) -> list[Change]:
        newest = list(self._changes.get(key, ()))[: max(0, limit)]
        return [Change(key, decode_value(key, it.value), it.revision, it.by, it.at) for it in newest]
