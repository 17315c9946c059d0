"""Shared documents: that no change is lost, that what was read last counts, and that watching ends with the piece."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from msgspec import Struct

from mlpatterns.base import BasePredictor
from mlpatterns.errors import Conflict, Unavailable
from mlpatterns.interfaces import Document
from mlpatterns.predictor import Runtime
from mlpatterns.runtime import AppRuntime, running
from mlpatterns.runtime.shared import POLL, POLL_DOWN, SharedDocuments
from mlpatterns.settings import Settings
from mlpatterns.stores.control_memory import MemoryControl
from mlpatterns.testing import FakeClock

KEY = "split/weights"


class Weights(Struct, frozen=True):
    a: int = 0


class Store(MemoryControl):
    """It can be down, and counts how often it is read."""

    down, reads = False, 0

    async def get_many(self, keys: Sequence[str]) -> dict[str, Document[Any]]:
        self.reads += 1
        await asyncio.sleep(0)  # others run meanwhile, as with a real one
        if self.down:
            raise Unavailable("the control store does not answer")
        return await super().get_many(keys)

    async def put(self, key: str, value: Any, *, expected: int | None, by: str) -> Document[Any]:
        await asyncio.sleep(0)
        return await super().put(key, value, expected=expected, by=by)


class Late(Store):
    """It holds back one answer until `gate` is set."""

    gate: asyncio.Event | None = None

    async def get_many(self, keys: Sequence[str]) -> dict[str, Document[Any]]:
        found, gate = await super().get_many(keys), self.gate
        if gate is not None:
            self.gate = None
            await gate.wait()
        return found


def more(now: Weights) -> Weights:
    return Weights(now.a + 1)


def run(work: Callable[[Store, FakeClock], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(20):
            await work(Store(), FakeClock())

    asyncio.run(main())


class Sleepless(FakeClock):
    """It does not wait, but lets others run."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


def polled(documents: SharedDocuments) -> asyncio.Task[None]:
    return asyncio.create_task(documents.poll())


# ---- changing ----


def test_changes_of_two_processes_at_once_lose_none() -> None:
    async def work(store: Store, _: FakeClock) -> None:
        both = [await SharedDocuments(store, Sleepless()).add(KEY, Weights, Weights(), None) for _ in range(2)]
        await asyncio.gather(*(one.change(more, f"p{number}") for one in both for number in range(50)))
        assert (await store.get_many([KEY]))[KEY].value == {"a": 100}
        assert {one.by for one in await both[0].history(100)} == {f"p{number}" for number in range(50)}

    run(work)


def test_a_change_to_an_equal_value_writes_nothing() -> None:
    async def work(store: Store, clock: FakeClock) -> None:
        one = await SharedDocuments(store, clock).add(KEY, Weights, Weights(3), None)
        assert (await one.change(lambda now: now, "ann")).revision == 0
        assert await one.history() == []

    run(work)


def test_who_changes_sees_it_at_once_and_others_at_the_next_look() -> None:
    async def work(store: Store, clock: FakeClock) -> None:
        mine, documents = await SharedDocuments(store, clock).add(KEY, Weights, Weights(), None), None
        documents = SharedDocuments(store, clock)
        others = await documents.add(KEY, Weights, Weights(), None)
        polling = polled(documents)
        written = await mine.change(more, "ann")
        assert (mine.document, written.by, written.revision) == (written, "ann", 1)
        assert others.document == Document(Weights())
        await clock.advance(POLL)
        assert others.document == written
        polling.cancel()

    run(work)


def test_what_the_store_has_lost_holds_on_and_can_be_changed() -> None:
    async def work(store: Store, clock: FakeClock) -> None:
        one = await SharedDocuments(store, clock).add(KEY, Weights, Weights(), None)
        documents = SharedDocuments(store, clock)
        other = await documents.add(KEY, Weights, Weights(), None)
        polling = polled(documents)
        await one.change(lambda _: Weights(7), "ann")
        await clock.advance(POLL)
        await store.close()  # it is empty now
        await clock.advance(POLL)
        found = (await store.get_many([KEY]))[KEY]
        assert (found.value, found.by, other.document.value) == ({"a": 7}, "ann", Weights(7))
        await store.close()
        assert (await one.change(more, "bob")).value == Weights(8)
        await clock.advance(POLL)
        assert other.document.value == Weights(8)
        polling.cancel()

    run(work)


def test_a_document_that_was_written_anew_is_told_from_one_of_the_same_revision() -> None:
    async def work(store: Store, clock: FakeClock) -> None:
        documents = SharedDocuments(store, clock)
        one = await documents.add(KEY, Weights, Weights(), None)
        polling = polled(documents)
        await one.change(more, "ann")
        await store.close()
        await store.put(KEY, {"a": 5}, expected=None, by="bob")
        await clock.advance(POLL)
        assert (one.document.value, one.document.revision) == (Weights(5), 1)
        polling.cancel()

    run(work)


def test_undo_writes_the_value_before_and_the_initial_one_before_the_first() -> None:
    async def work(store: Store, clock: FakeClock) -> None:
        one = await SharedDocuments(store, clock).add(KEY, Weights, Weights(7), None)
        with pytest.raises(Conflict, match="was never changed"):
            await one.undo("ann")
        await one.change(more, "ann")
        undone = await one.undo("bob")
        assert (undone.value, undone.revision, undone.by) == (Weights(7), 2, "bob")
        await one.change(lambda _: Weights(50), "ann")
        await one.change(lambda _: Weights(60), "ann")
        assert (await one.undo("bob")).value == one.document.value == Weights(50)

    run(work)


def test_a_change_that_never_gets_its_turn_is_a_conflict() -> None:
    class Contended(Store):
        async def put(self, key: str, value: Any, *, expected: int | None, by: str) -> Document[Any]:
            raise Conflict("another was quicker")

    async def main() -> None:
        one = await SharedDocuments(Contended(), Sleepless()).add(KEY, Weights, Weights(), None)
        with pytest.raises(Conflict, match="constantly changed by other processes"):
            await one.change(more, "ann")

    asyncio.run(main())


# ---- reading ----


def test_a_store_that_is_down_at_start_leaves_no_document_until_it_is_there() -> None:
    async def work(store: Store, clock: FakeClock) -> None:
        store.down = True
        documents = SharedDocuments(store, clock)
        one = await documents.add(KEY, Weights, Weights(), None)
        assert (documents.unread, documents.trouble) == ([KEY], "the control store does not answer")
        with pytest.raises(Unavailable):
            _ = one.document  # never the initial value: another may be stored
        polling = polled(documents)
        store.down = False
        await store.put(KEY, {"a": 5}, expected=None, by="ann")
        await clock.advance(POLL_DOWN)
        assert (one.document.value, documents.unread, documents.trouble) == (Weights(5), [], "")
        polling.cancel()

    run(work)


def test_while_the_store_is_down_the_last_document_counts_and_a_change_says_so() -> None:
    async def work(store: Store, clock: FakeClock) -> None:
        documents = SharedDocuments(store, clock)
        one = await documents.add(KEY, Weights, Weights(), None)
        polling = polled(documents)
        written = await one.change(more, "ann")
        store.down = True
        await clock.advance(10)
        assert (one.document, documents.trouble) == (written, "the control store does not answer")
        with pytest.raises(Unavailable):
            await one.change(more, "ann")
        polling.cancel()

    run(work)


def test_what_the_log_says_of_the_store_names_the_system(caplog: pytest.LogCaptureFixture) -> None:
    async def work(store: Store, clock: FakeClock) -> None:
        documents = SharedDocuments(store, clock)
        store.down = True
        for key in ("shop/split/weights", "shop/swap/pinned"):
            await documents.add(key, Weights, Weights(), None)
        polling = polled(documents)
        for store.down in (False, True, False):
            await clock.advance(10)
        polling.cancel()

    with caplog.at_level("INFO", "mlpatterns"):
        run(work)
    assert caplog.messages == [
        "shop: the control store does not answer; its documents are unknown until it answers",
        "shop: the control store answers again",
        "shop: the control store does not answer; the last known versions are used meanwhile",
        "shop: the control store answers again",
    ]


def test_a_value_of_another_type_leaves_the_last_one_and_does_not_keep_others_from_being_read() -> None:
    async def work(store: Store, clock: FakeClock) -> None:
        documents = SharedDocuments(store, clock)
        one = await documents.add(KEY, Weights, Weights(), None)
        other = await documents.add("other", int, 0, None)
        polling = polled(documents)
        written = await one.change(more, "ann")
        await store.put(KEY, {"a": "many"}, expected=1, by="mallory")
        await store.put("other", 5, expected=None, by="ann")
        await clock.advance(2 * POLL)
        assert one.document == written
        assert other.document.value == 5
        assert documents.trouble == f"the document '{KEY}' in the control store cannot be read as its type"
        with pytest.raises(Unavailable, match="cannot be read as its type"):
            await one.change(more, "ann")
        polling.cancel()

    run(work)


def test_an_answer_that_was_on_its_way_during_a_change_does_not_bring_the_old_document_back() -> None:
    async def main() -> None:
        store, clock = Late(), FakeClock()
        documents = SharedDocuments(store, clock)
        one = await documents.add(KEY, Weights, Weights(), None)
        seen: list[int] = []
        one.watch(lambda document: seen.append(document.revision))
        await one.change(more, "ann")
        polling, gate = polled(documents), asyncio.Event()
        store.gate = gate
        await clock.advance(POLL)
        second = await one.change(more, "ann")
        gate.set()
        await clock.advance(0)
        assert (one.document, seen) == (second, [1, 2])
        polling.cancel()

    asyncio.run(main())


def test_a_store_that_was_emptied_is_believed() -> None:
    async def work(store: Store, clock: FakeClock) -> None:
        documents = SharedDocuments(store, clock)
        one = await documents.add(KEY, Weights, Weights(), None)
        for _ in range(3):
            await one.change(more, "ann")
        polling = polled(documents)
        store._changes.clear()  # a Redis that saved nothing has restarted
        await store.put(KEY, {"a": 70}, expected=None, by="ann")
        await clock.advance(POLL)
        assert (one.document.value, one.document.revision) == (Weights(70), 1)
        polling.cancel()

    run(work)


def test_all_keys_of_a_process_are_read_in_one_look() -> None:
    async def work(store: Store, clock: FakeClock) -> None:
        documents = SharedDocuments(store, clock)
        for number in range(10):
            await documents.add(f"key {number}", int, 0, None)
        polling, before = polled(documents), store.reads
        await clock.advance(POLL)
        assert store.reads == before + 1
        polling.cancel()

    run(work)


def fails(_: Document[Weights]) -> None:
    raise RuntimeError("a watcher of a user's")


def test_a_watcher_that_fails_is_logged_and_keeps_nobody_from_what_is_new(caplog: pytest.LogCaptureFixture) -> None:
    async def work(store: Store, clock: FakeClock) -> None:
        documents = SharedDocuments(store, clock)
        one = await documents.add(KEY, Weights, Weights(), None)
        seen: list[int] = []
        one.watch(fails)
        one.watch(lambda document: seen.append(document.value.a))
        polling = polled(documents)
        await one.change(more, "ann")
        await store.put(KEY, {"a": 5}, expected=1, by="bob")
        await clock.advance(POLL)
        assert (seen, polling.done()) == ([1, 5], False)
        assert f"a watcher of the document '{KEY}' failed" in caplog.text
        polling.cancel()

    run(work)


# ---- pieces ----


class Following(BasePredictor):
    """A piece that watches a document."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.seen: list[int] = []

    async def start(self, runtime: Runtime) -> None:
        self.weights = await runtime.shared("weights", Weights, Weights())
        self.weights.watch(lambda document: self.seen.append(document.value.a))


def test_each_piece_has_documents_of_its_own_and_watching_ends_with_the_piece() -> None:
    one, other, clock = Following("one"), Following("other"), FakeClock()

    async def main() -> None:
        async with running(one, other, settings=Settings(control="memory://"), clock=clock) as app:
            await one.weights.change(more, "ann")
            assert (one.seen, other.seen) == ([1], [])
            assert list(await app.control.get_many(["one/weights", "other/weights"])) == ["one/weights"]
            await app.stop_tree(one)
            await app.control.put("one/weights", {"a": 9}, expected=1, by="ann")
            await app.control.put("other/weights", {"a": 9}, expected=None, by="ann")
            await clock.advance(POLL)
            assert (one.seen, other.seen) == ([1], [9])

    asyncio.run(main())


def test_a_piece_that_stops_while_the_store_is_asked_is_told_nothing_any_more() -> None:
    async def main() -> None:
        store, clock, piece = Late(), FakeClock(), BasePredictor("piece")
        documents = SharedDocuments(store, clock)
        one, seen = await documents.add(KEY, Weights, Weights(), piece), list[int]()
        one.watch(lambda document: seen.append(document.revision))
        await store.put(KEY, {"a": 1}, expected=None, by="ann")
        polling, gate = polled(documents), asyncio.Event()
        store.gate = gate
        await clock.advance(POLL)
        documents.drop(piece)
        gate.set()
        await clock.advance(0)
        assert seen == []
        polling.cancel()

    asyncio.run(main())


def test_an_app_waits_for_its_documents_and_for_nothing_where_there_are_none() -> None:
    async def work(app: AppRuntime) -> None:
        assert app.waiting() == ""
        store: Any = app.control
        store.get_many = down
        await app.start_tree([("one", Following("one"))])
        assert app.waiting() == "the control store has not answered yet"

    async def down(keys: Sequence[str]) -> dict[str, Document[Any]]:
        raise Unavailable("the control store does not answer")

    async def main() -> None:
        async with running(settings=Settings(control="memory://"), clock=FakeClock()) as app:
            await work(app)

    asyncio.run(main())
