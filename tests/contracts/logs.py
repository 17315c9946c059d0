"""The contract of the backends of a log: a sink is written, a store is also read. The test of a backend inherits it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from math import inf, nan
from typing import Any

import msgspec
import numpy as np
import pytest

from mlpatterns.context import Note
from mlpatterns.stores import open_store
from mlpatterns.stores.log import Feedback, LogQuery, LogSink, LogStore, Record

FULL = Record(
    "id-full", 1_700_000_000.25, "iris/log", "failed", 0.125, "iris", "3", "digest", "shadow", "replay", "caller\r\n",
    "ann", True, "INTERNAL", 'it "failed"\n日本', {"input": [[1.5, None], [0.1, -2.0]], "key": ["日本", "\u2028"]},
    {"p": [], "image": {"bytes": 3, "sha256": "00"}},
    (Note("iris/split", "arm", "b", public=True), Note("a", "ms", 1.5)),
)  # fmt: skip


def record(number: int, **fields: Any) -> Record:
    """A record whose time `at` is its number."""
    given = {"path": "iris", "status": "done", "seconds": 0.001, "model": "iris", "version": "1", **fields}
    return Record(f"id-{number}", float(number), **given)


class LogSinkContract:
    """Inherit it and define `url`, a fixture with the URL of a new, empty sink, and `lines`, which returns what was
    written to it.

    Attributes:
        need: the interface with which it is opened.
    """

    need: type = LogSink

    @pytest.fixture
    def url(self) -> str:
        raise NotImplementedError("a backend's test gives the URL of a fresh sink")

    @pytest.fixture
    def run(self, url: str) -> Callable[..., None]:
        def run(work: Callable[[Any], Awaitable[None]], options: str = "") -> None:
            async def main() -> None:
                joint = "&" if "?" in url else "?"
                store: Any = await open_store(self.need, f"{url}{joint}{options}" if options else url)
                try:
                    await work(store)
                finally:
                    await store.close()

            asyncio.run(main())

        return run

    async def written(self, sink: Any) -> list[Record]:
        raise NotImplementedError("a backend's test says what was written")

    def test_a_record_is_written_whatever_is_in_it(self, run: Any) -> None:
        async def work(sink: LogSink) -> None:
            await sink.write([FULL, record(1)])
            assert await self.written(sink) == [FULL, record(1)]

        run(work)

    def test_what_json_cannot_say_becomes_what_it_can(self, run: Any) -> None:
        async def work(sink: LogSink) -> None:
            values = (object(), np.float32(0.5), np.arange(2), "\ud800", {"\ud800": 1})
            odd = record(1, inputs={"x": [nan, inf, 1.0]}, notes=tuple(Note("a", "k", value) for value in values))
            await sink.write([odd, record(2, error="\ud800", inputs={"x": ["\ud800"]})])
            read, other = await self.written(sink)
            assert read.inputs == {"x": [None, None, 1.0]}
            assert [type(note.value) for note in read.notes] == [str] * len(values)
            assert (other.prediction_id, other.error, other.inputs) == ("id-2", "\\ud800", None)
            await sink.write([record(3, notes=(Note("a", "k", np.float32(0.5)), Note("a", "k", np.arange(2))))])
            assert [note.value for note in (await self.written(sink))[-1].notes] == [0.5, [0, 1]]

        run(work)

    def test_many_writers_at_once_lose_nothing_and_tear_nothing(self, run: Any) -> None:
        async def work(sink: LogSink) -> None:
            groups = [[record(100 * writer + n) for n in range(20)] for writer in range(10)]
            await asyncio.gather(*(sink.write(group) for group in groups))
            read = await self.written(sink)
            assert sorted(each.at for each in read) == sorted(each.at for group in groups for each in group)
            for group in groups:  # each group is in order
                assert [each for each in read if each in group] == group

        run(work)

    def test_nothing_is_written_for_nothing(self, run: Any) -> None:
        async def work(sink: LogSink) -> None:
            await sink.write([])
            assert await self.written(sink) == []

        run(work)


class LogStoreContract(LogSinkContract):
    """The contract of a log that is also read.

    Attributes:
        shared: whether another store with the same URL finds what one store wrote.
    """

    need = LogStore
    shared = True

    async def written(self, sink: LogStore) -> list[Record]:
        return list((await sink.read(LogQuery())).records)

    def test_pages_follow_each_other_and_end(self, run: Any) -> None:
        async def work(store: LogStore) -> None:
            await store.write([record(n) for n in range(25)])
            numbers, after = [], 0
            for _ in range(4):
                page = await store.read(LogQuery(after=after, limit=10))
                numbers += [each.at for each in page.records]
                after = page.after
            assert numbers == [float(n) for n in range(25)]
            assert (await store.read(LogQuery(after=after))) == msgspec.structs.replace(page, records=(), after=after)
            await store.write([record(99)])
            assert [each.at for each in (await store.read(LogQuery(after=after))).records] == [99.0]

        run(work)

    @pytest.mark.parametrize(
        ("asked", "found"),
        [
            ({"since": 3.0}, [3, 4, 5, 6, 7]),
            ({"until": 2.0}, [0, 1]),
            ({"since": 2.0, "until": 4.0}, [2, 3]),
            ({"since": 99.0}, []),
            ({"path": "iris"}, [0, 2, 3, 4, 5, 6]),
            ({"path": "iris/a"}, [2]),
            ({"path": "iri"}, []),
            ({"path": "iris%"}, []),
            ({"prediction_id": "id-4"}, [4]),
            ({"prediction_id": "id-4", "since": 5.0}, []),
            ({"purpose": "test"}, [3]),
            ({"purpose": "request"}, [0, 1, 2, 4, 5, 6, 7]),
            ({"role": "shadow"}, [4]),
            ({"role": "primary", "since": 4.0}, [5, 6, 7]),
            ({"model": "other"}, [5]),
            ({"model": ""}, [6]),
            ({"version": "2", "model": "iris"}, [7]),
            ({"limit": 2}, [0, 1]),
            ({"limit": 2, "newest": True}, [6, 7]),
            ({"limit": 2, "newest": True, "path": "iris", "until": 4.0}, [2, 3]),
        ],
    )
    def test_a_query_finds_what_fits_all_that_it_says(self, run: Any, asked: Any, found: Sequence[int]) -> None:
        async def work(store: LogStore) -> None:
            await store.write([
                record(0), record(1, path="irises"), record(2, path="iris/a"), record(3, purpose="test"),
                record(4, role="shadow"), record(5, model="other"), record(6, model="", version="", status="failed"),
                record(7, path="irisx/b", version="2"),
            ])  # fmt: skip
            page = await store.read(LogQuery(**asked))
            assert [each.at for each in page.records] == found

        run(work)

    def test_feedback_of_the_same_name_replaces_and_stands_last(self, run: Any) -> None:
        async def work(store: LogStore) -> None:
            await store.add_feedback([said("a", "label", "x"), said("b", "label", 1), said("a", "converted", True)])
            first = await store.read_feedback()
            assert [(each.prediction_id, each.value) for each in first.feedback] == [("a", "x"), ("b", 1), ("a", True)]
            await store.add_feedback([said("a", "label", 0.5)])
            assert (await store.read_feedback(after=first.after)).feedback == (said("a", "label", 0.5),)
            assert [each.value for each in (await store.read_feedback()).feedback] == [1, True, 0.5]
            assert [each.value for each in (await store.read_feedback(prediction_id="a")).feedback] == [True, 0.5]
            assert [each.value for each in (await store.read_feedback(limit=1)).feedback] == [1]
            assert (await store.read_feedback(prediction_id="none")).feedback == ()

        run(work)

    def test_feedback_keeps_its_type_and_its_teller(self, run: Any) -> None:
        values: list[bool | int | float | str] = ["日本\n", "", True, False, 0, 1, -(2**53), 0.1, 1.0]

        async def work(store: LogStore) -> None:
            await store.add_feedback([Feedback(f"id-{n}", "v", value, 1.5, "ann") for n, value in enumerate(values)])
            told = (await store.read_feedback()).feedback
            assert [(type(each.value), each.value) for each in told] == [(type(value), value) for value in values]
            assert {(each.at, each.by) for each in told} == {(1.5, "ann")}

        run(work)

    def test_what_was_written_is_there_when_it_is_opened_again(self, run: Any) -> None:
        async def write(store: LogStore) -> None:
            await store.write([FULL])
            await store.add_feedback([said("a", "label", 1)])

        async def read(store: LogStore) -> None:
            assert (await self.written(store) == [FULL]) == self.shared
            assert bool((await store.read_feedback()).feedback) == self.shared

        run(write)
        run(read)

    def test_the_oldest_go_first(self, run: Any) -> None:
        async def work(store: LogStore) -> None:
            for n in range(30):
                await store.write([record(n)])
            assert [each.at for each in await self.written(store)] == [float(n) for n in range(20, 30)]

        run(work, "max_records=10")


def said(which: str, name: str, value: Any) -> Feedback:
    return Feedback(which, name, value, 1.0)
