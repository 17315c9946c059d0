"""`run --reset-shared`: documents go back to their initial values once a run, and never twice."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec import Struct

from core import read
from mlpatterns.errors import Conflict, Unavailable
from mlpatterns.interfaces import ControlStore
from mlpatterns.runtime.resetting import BY, reset_once
from mlpatterns.runtime.shared import SharedDocuments
from mlpatterns.stores import open_store
from mlpatterns.testing import FakeClock

KEY = "system/weights"


class Weights(Struct, frozen=True):
    a: int = 1


async def memory() -> Any:
    return await open_store(ControlStore, "memory://")


def test_what_commands_have_set_is_forgotten_and_the_audit_says_by_what() -> None:
    async def work() -> None:
        store = await memory()
        await store.put(KEY, {"a": 5}, expected=None, by="ann")
        document = await SharedDocuments(store, FakeClock(), "run-1").add(KEY, Weights, Weights(), None)
        assert (document.document.value, document.document.revision, document.document.by) == (Weights(), 2, BY)

    asyncio.run(work())


def test_without_a_reset_it_stays() -> None:
    async def work() -> None:
        store = await memory()
        await store.put(KEY, {"a": 5}, expected=None, by="ann")
        document = await SharedDocuments(store, FakeClock()).add(KEY, Weights, Weights(), None)
        assert document.document.value == Weights(5)

    asyncio.run(work())


@pytest.mark.parametrize("before", [{"a": 5}, {"a": 1}, None])
def test_what_a_command_sets_after_the_reset_stays_when_a_worker_is_started_anew(before: Any) -> None:
    async def work() -> None:
        store = await memory()
        if before is not None:
            await store.put(KEY, before, expected=None, by="ann")
        first = await SharedDocuments(store, FakeClock(), "run-1").add(KEY, Weights, Weights(), None)
        await first.change(lambda _: Weights(7), "bob")
        again = await SharedDocuments(store, FakeClock(), "run-1").add(KEY, Weights, Weights(), None)
        assert again.document.value == Weights(7)
        other = await SharedDocuments(store, FakeClock(), "run-2").add(KEY, Weights, Weights(), None)
        assert other.document.value == Weights()

    asyncio.run(work())


def test_many_workers_at_once_reset_it_once() -> None:
    async def work() -> None:
        store = await memory()
        await store.put(KEY, {"a": 5}, expected=None, by="ann")
        await asyncio.gather(*(reset_once(store, KEY, {"a": 1}, "run-1") for _ in range(8)))
        document = await read(store, KEY)
        assert document is not None
        assert (document.value, document.revision) == ({"a": 1}, 2)

    asyncio.run(work())


class Down:
    """A store that does not answer, and later does."""

    def __init__(self, store: Any) -> None:
        self.store, self.down = store, True

    async def get_many(self, keys: Any) -> Any:
        if self.down:
            raise Unavailable("the store does not answer")
        return await self.store.get_many(keys)

    async def put(self, *arguments: Any, **options: Any) -> Any:
        return await self.store.put(*arguments, **options)


def test_while_the_store_is_down_nothing_is_read_and_when_it_is_back_it_is_reset_first() -> None:
    async def work() -> None:
        store: Any = Down(await memory())
        await store.put(KEY, {"a": 5}, expected=None, by="ann")
        documents, seen = SharedDocuments(store, FakeClock(), "run-1"), []
        document = await documents.add(KEY, Weights, Weights(), None)
        document.watch(lambda changed: seen.append(changed.value))
        assert documents.unread == [KEY]
        store.down = False
        await documents._look([document])
        assert seen == [Weights()]

    asyncio.run(work())


def test_where_others_change_it_all_the_time_it_gives_up() -> None:
    class Contended(Down):
        async def put(self, *arguments: Any, **options: Any) -> Any:
            raise Conflict("another was first")

    async def work() -> None:
        store: Any = Contended(await memory())
        store.down = False
        with pytest.raises(Conflict, match="constantly changed by other processes"):
            await reset_once(store, KEY, {"a": 1}, "run-1")

    asyncio.run(work())
