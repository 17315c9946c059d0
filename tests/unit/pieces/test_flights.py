"""Flights: work by key, once for all who want it. What a cache makes of it is in test_prediction_cache.py."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from mlpatterns.errors import DeadlineExceeded, InternalError, PredictionError, Unavailable
from mlpatterns.pieces.flights import Flight, Flights
from mlpatterns.testing import FakeClock


def run(test: Callable[[Flights[int], FakeClock], Awaitable[None]]) -> None:
    async def main() -> None:
        clock = FakeClock()
        before = asyncio.all_tasks()
        await test(Flights(clock), clock)
        assert asyncio.all_tasks() == before

    asyncio.run(main())


async def one(flight: Flight[int]) -> int:
    return 1


def test_each_key_is_work_of_its_own() -> None:
    begun: list[int] = []

    def work(number: int) -> Callable[[Flight[int]], Any]:
        async def working(flight: Flight[int]) -> int:
            begun.append(number)
            await asyncio.sleep(0)
            return number

        return working

    async def test(flights: Flights[int], clock: FakeClock) -> None:
        asked = [flights.ask(str(n % 3), work(n), None) for n in range(9)]
        assert await asyncio.gather(*asked) == [(0, False), (1, False), (2, False), *[(n, True) for n in (0, 1, 2)] * 2]
        assert (begun, len(flights)) == ([0, 1, 2], 0)

    run(test)


def test_who_has_no_time_left_begins_nothing() -> None:
    async def test(flights: Flights[int], clock: FakeClock) -> None:
        with pytest.raises(DeadlineExceeded):
            await flights.ask("a", one, clock.monotonic())
        assert len(flights) == 0

    run(test)


def test_work_that_is_cancelled_from_inside_is_an_error_of_those_who_wait_and_no_cancellation() -> None:
    async def gives_up(flight: Flight[int]) -> int:
        raise asyncio.CancelledError

    async def test(flights: Flights[int], clock: FakeClock) -> None:
        with pytest.raises(InternalError, match="cancelled itself"):
            await flights.ask("a", gives_up, None)
        assert await flights.ask("a", one, None) == (1, False)

    run(test)


def test_a_caller_cancelled_while_it_waits_for_the_end_of_late_work_is_cancelled() -> None:
    gate = asyncio.Event()

    async def stubborn(flight: Flight[int]) -> int:
        while True:
            try:
                await gate.wait()
            except asyncio.CancelledError:
                continue  # as work in a thread goes on
            return 1

    async def test(flights: Flights[int], clock: FakeClock) -> None:
        caller = asyncio.create_task(flights.ask("a", stubborn, clock.monotonic() + 0.001))
        while not len(flights):
            await asyncio.sleep(0)
        while len(flights):
            await asyncio.sleep(0.001)  # until its time is up
        assert not caller.done()
        caller.cancel()
        await asyncio.sleep(0)
        assert not caller.done()
        gate.set()
        with pytest.raises(asyncio.CancelledError):
            await caller

    run(test)


def test_an_error_with_a_form_of_its_own_comes_as_it_is() -> None:
    class Odd(PredictionError):
        def __init__(self, one: int, two: int) -> None:
            super().__init__(f"{one} and {two}")
            self.sum = one + two

    async def fails(flight: Flight[int]) -> int:
        raise Odd(1, 2)

    async def test(flights: Flights[int], clock: FakeClock) -> None:
        with pytest.raises(Odd) as caught:
            await flights.ask("a", fails, None)
        assert (str(caught.value), caught.value.sum) == ("1 and 2", 3)

    run(test)


def test_after_the_stop_all_has_ended() -> None:
    async def long(flight: Flight[int]) -> int:
        await asyncio.sleep(3600)
        return 1

    async def test(flights: Flights[int], clock: FakeClock) -> None:
        callers = [asyncio.create_task(flights.ask(key, long, None)) for key in "aab"]
        await asyncio.sleep(0)
        await flights.stop()
        for error in await asyncio.gather(*callers, return_exceptions=True):
            assert isinstance(error, Unavailable)

    run(test)
