"""GroupFlights: several keys at once, each under way once. What a cache makes of it is in test_data_cache.py."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlpatterns.context import Note
from mlpatterns.errors import DeadlineExceeded, NotFound, Unavailable
from mlpatterns.pieces.cache.group_flights import GroupFlights
from mlpatterns.testing import FakeClock

Test = Callable[[GroupFlights[str], "Loader"], Awaitable[None]]


class Loader:
    """Work that waits for its gate, and notes which keys it was for."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.ended = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, keys: Sequence[str], flight: Any) -> Mapping[str, str | Exception]:
        self.groups.append(list(keys))
        flight.notes = [Note("loader", "keys", len(keys))]
        try:
            await self.gate.wait()
        finally:
            self.ended += 1
        return {key: NotFound(f"no {key}") if key == "bad" else key.upper() for key in keys}


def run(test: Test) -> None:
    async def main() -> None:
        before = asyncio.all_tasks()
        await test(GroupFlights(FakeClock()), Loader())
        assert asyncio.all_tasks() == before

    asyncio.run(main())


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_the_keys_that_are_not_under_way_are_one_work() -> None:
    async def test(flights: GroupFlights[str], loader: Loader) -> None:
        loader.gate.clear()
        notes: list[Note] = []
        first = asyncio.create_task(flights.ask(["a", "b"], loader, None, []))
        await settle()
        second = asyncio.create_task(flights.ask(["b", "c", "d"], loader, None, notes))
        await settle()
        assert (loader.groups, len(flights)) == ([["a", "b"], ["c", "d"]], 4)
        loader.gate.set()
        assert await first == [("A", False), ("B", False)]
        assert await second == [("B", True), ("C", False), ("D", False)]
        assert [note.value for note in notes] == [2, 2]  # of each work once
        assert len(flights) == 0

    run(test)


def test_an_error_is_that_of_its_key_and_each_callers_own() -> None:
    async def test(flights: GroupFlights[str], loader: Loader) -> None:
        loader.gate.clear()
        asking = [asyncio.create_task(flights.ask(keys, loader, None, [])) for keys in (["a", "bad"], ["bad"])]
        await settle()
        loader.gate.set()
        (good, bad), (again,) = await asyncio.gather(*asking)
        assert good == ("A", False)
        assert isinstance(bad, NotFound)
        assert isinstance(again, NotFound)
        assert bad is not again

    run(test)


def test_work_that_fails_fails_all_its_keys() -> None:
    async def test(flights: GroupFlights[str], loader: Loader) -> None:
        async def fails(keys: Sequence[str], flight: Any) -> Mapping[str, str]:
            raise Unavailable("down")

        outcomes = await flights.ask(["a", "b"], fails, None, [])
        assert [type(outcome) for outcome in outcomes] == [Unavailable, Unavailable]

    run(test)


def test_who_has_no_time_begins_nothing() -> None:
    async def test(flights: GroupFlights[str], loader: Loader) -> None:
        (outcome,) = await flights.ask(["a"], loader, 0.0, [])
        assert isinstance(outcome, DeadlineExceeded)
        assert loader.groups == []

    run(test)


def test_stopping_ends_the_work_and_tells_who_waits() -> None:
    async def test(flights: GroupFlights[str], loader: Loader) -> None:
        loader.gate.clear()
        asking = asyncio.create_task(flights.ask(["a", "b"], loader, None, []))
        await settle()
        await flights.stop()
        assert [type(outcome) for outcome in await asking] == [Unavailable, Unavailable]
        assert loader.ended == 1

    run(test)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sets(st.sampled_from("abcdef"), min_size=1), st.booleans(), st.integers(0, 3)),
        min_size=1, max_size=8,
    )
)  # fmt: skip
def test_whoever_leaves_the_others_get_theirs_and_nothing_is_left_running(
    callers: list[tuple[set[str], bool, int]],
) -> None:
    async def test(flights: GroupFlights[str], loader: Loader) -> None:
        loader.gate.clear()
        asking = []
        for keys, _, turns in callers:
            asking.append(asyncio.create_task(flights.ask(sorted(keys), loader, None, [])))
            for _ in range(turns):
                await asyncio.sleep(0)
        for task, (_, leaves, turns) in zip(asking, callers, strict=True):
            if leaves:
                task.cancel()
            for _ in range(turns):
                await asyncio.sleep(0)
        loader.gate.set()
        for task, (keys, leaves, _) in zip(asking, callers, strict=True):
            if leaves:
                with pytest.raises(asyncio.CancelledError):
                    await task
            else:
                assert [outcome[0] for outcome in await task] == [key.upper() for key in sorted(keys)]  # type: ignore[index]
        assert len(flights) == 0
        assert loader.ended == len(loader.groups)

    run(test)
