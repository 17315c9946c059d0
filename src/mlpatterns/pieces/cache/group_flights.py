"""Single flight for several keys at once: one piece of work makes the results of all keys that are not under way."""

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

# From the keys to the result of each, or the error that only this key's callers get. Its flight has deadline and notes.
Work = Callable[[Sequence[str], Flight[Mapping[str, T | Exception]]], Awaitable[Mapping[str, T | Exception]]]


class GroupFlights(Generic[T]):
    """As `Flights`, by several keys at once: each key is under way once, whoever asks for it, and with whatever others.

    The work of a group ends when nobody waits for any of its keys.
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
        """The result of each of `keys`, which differ, and whether it was under way already; or the error, an object of
        the caller's own: DeadlineExceeded if his own time is up.

        Args:
            notes: gets those of the work, once.
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
        """Ends all work; who waits for it is told so."""
        await self._keys.stop()
        await self._groups.stop()


class Group(Generic[T]):
    """The keys of one call that are not under way: their flights begin in one turn of the loop, their work after."""

    def __init__(self, flights: Flights[Mapping[str, T | Exception]], name: str, work: Work[T]) -> None:
        self._flights, self._name, self._work = flights, name, work
        self._keys: list[str] = []
        self._number = 0

    async def fly(self, key: str, flight: Flight[T]) -> T:
        """The flight of one key, which waits for that of the group."""
        keys = self._keys
        keys.append(key)
        name = f"{self._name}.{self._number}"
        made, _ = await self._flights.ask(name, partial(self._begin, keys), flight.tell(), flight.notes)
        result = made[key]
        if isinstance(result, Exception):
            raise result
        return result

    async def _begin(self, keys: list[str], flight: Flight[Mapping[str, T | Exception]]) -> Mapping[str, T | Exception]:
        self._keys, self._number = [], self._number + 1  # a flight that begins later, or again, is of the next group
        return await self._work(keys, flight)


def _of_this_key(outcome: T | BaseException) -> T | Exception:
    if isinstance(outcome, BaseException) and not isinstance(outcome, Exception):
        raise outcome
    return outcome
