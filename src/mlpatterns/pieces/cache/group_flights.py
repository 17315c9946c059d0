"""Single flight for several keys at once: one piece of work makes the results of all keys that are not in progress."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Generic, TypeVar

from mlpatterns.context import Note
from mlpatterns.interfaces import Clock
from mlpatterns.pieces.flights import Flight, Flights

__all__ = ["GroupFlights", "Work"]

T = TypeVar("T")

# Returns for each key its result, or an error that only the callers of this key get. The flight has deadline and notes.
Work = Callable[[Sequence[str], Flight[Mapping[str, T | Exception]]], Awaitable[Mapping[str, T | Exception]]]


class GroupFlights(Generic[T]):
    """Like `Flights`, for several keys at once.

    The work for a key runs once, even if several callers request the key together with different other keys. The work
    of a group is cancelled when nobody waits for any of its keys.
    """

    def __init__(self, clock: Clock) -> None:
        self._keys: Flights[T] = Flights(clock)
        self._groups: Flights[Mapping[str, T | Exception]] = Flights(clock)
        self._numbers = itertools.count()

    def __len__(self) -> int:
        return len(self._keys)

    async def ask(
        self, keys: Sequence[str], work: Work[T], deadline: float | None, notes: list[Note]
    ) -> list[tuple[T, bool] | Exception]:
        """The result of each of `keys`, and whether its work was in progress already; or the error of the key.

        Each error is a new object for this caller; it is DEADLINE if the caller's own time is over.

        Args:
            keys: all different; equal for callers who can share a result.
            work: makes the results of several keys.
            deadline: the caller's own, in seconds of the monotonic clock, or None.
            notes: the list that gets the notes of the work, each once.
        """
        group = Group(self._groups, str(next(self._numbers)), work)
        noted: list[list[Note]] = [[] for _ in keys]
        asked = [
            self._keys.ask(key, partial(group.fly, key), deadline, own) for key, own in zip(keys, noted, strict=True)
        ]
        outcomes: list[tuple[T, bool] | BaseException] = await asyncio.gather(*asked, return_exceptions=True)
        notes.extend({id(note): note for own in noted for note in own}.values())
        return [_of_this_key(outcome) for outcome in outcomes]

    async def stop(self) -> None:
        """Cancels all work; callers who wait get UNAVAILABLE."""
        await self._keys.stop()
        await self._groups.stop()


class Group(Generic[T]):
    """The keys of one call whose work is not in progress yet.

    Their flights begin in the same iteration of the event loop, and their common work begins after that.
    """

    def __init__(self, flights: Flights[Mapping[str, T | Exception]], name: str, work: Work[T]) -> None:
        self._flights, self._name, self._work = flights, name, work
        self._keys: list[str] = []
        self._number = 0

    async def fly(self, key: str, flight: Flight[T]) -> T:
        """The flight of one key, which waits for the flight of the group."""
        keys = self._keys
        keys.append(key)
        name = f"{self._name}.{self._number}"
        made, _ = await self._flights.ask(name, partial(self._begin, keys), flight.take_deadline(), flight.notes)
        result = made[key]
        if isinstance(result, Exception):
            raise result
        return result

    async def _begin(self, keys: list[str], flight: Flight[Mapping[str, T | Exception]]) -> Mapping[str, T | Exception]:
        self._keys, self._number = [], self._number + 1  # a later or repeated flight joins the next group
        return await self._work(keys, flight)


def _of_this_key(outcome: T | BaseException) -> T | Exception:
    if isinstance(outcome, BaseException) and not isinstance(outcome, Exception):
        raise outcome
    return outcome
