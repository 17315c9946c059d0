"""The ControlStore of one process: what it holds is gone with the process."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, Self

from mlpatterns.errors import Conflict
from mlpatterns.predictor import Document

__all__ = ["MemoryControl"]


class MemoryControl:
    """Versioned documents in a dict, with compare-and-set and an audit of who wrote what."""

    def __init__(self) -> None:
        self._documents: dict[str, Document] = {}
        self.audit: list[tuple[str, Document]] = []

    @classmethod
    async def open(cls, url: str) -> Self:
        return cls()

    async def close(self) -> None:
        self._documents.clear()

    async def get(self, key: str) -> Document | None:
        return deepcopy(self._documents.get(key))  # like a backend that stores bytes: no reader changes it

    async def put(self, key: str, value: Any, *, expected: int | None, by: str) -> Document:
        stored = self._documents.get(key)
        revision = stored.revision if stored else None
        if revision != expected:
            raise Conflict(f"{key!r} is at revision {revision}, not {expected}; read it again")
        document = Document(key, deepcopy(value), (revision or 0) + 1)
        self._documents[key] = document
        self.audit.append((by, document))
        return deepcopy(document)
