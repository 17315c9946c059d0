"""The Registry of a database: `sqlite:///…`, `postgresql://…`, `mysql://…`, asked by a child process."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Self

from mlpatterns.references import RegisteredReference
from mlpatterns.registry.asker import Asker
from mlpatterns.stores.registry import Answer

__all__ = ["DatabaseRegistry"]


class DatabaseRegistry:
    """One child for all who ask, and one thread that waits for it."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="registry")

    @classmethod
    async def open(cls, url: str) -> Self:
        return cls(Asker(url))

    async def find(self, reference: RegisteredReference) -> Answer:
        return await asyncio.wrap_future(self._thread.submit(self._asker.find, reference))

    async def close(self) -> None:
        await asyncio.wrap_future(self._thread.submit(self._asker.close))
        self._thread.shutdown(wait=False)
