"""Blocking connections to PostgreSQL whose calls end: libpq itself waits forever for a server that hangs."""

from __future__ import annotations

from collections.abc import Generator
from functools import cache
from time import monotonic
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["connect_blocking"]


def connect_blocking(seconds: float, *place: Any, **options: Any) -> Connection[Any]:
    """A connection that fails, and is closed, when the server sends nothing for `seconds` while a call waits for it.

    Args:
        place, options: as psycopg.connect.

    Raises:
        psycopg.Error: as psycopg.connect.
    """
    return _limited(seconds).connect(*place, **options)


@cache
def _limited(seconds: float) -> type[Connection[Any]]:
    from psycopg import Connection, OperationalError

    class Limited(Connection[Any]):
        def wait(self, gen: Generator[Any, Any, Any], *arguments: Any, **options: Any) -> Any:
            return super().wait(self._watched(gen), *arguments, **options)

        def _watched(self, gen: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
            ready: Any = None
            while True:
                try:
                    wanted = gen.send(ready)
                except StopIteration as done:
                    return done.value
                until = monotonic() + seconds
                while not (ready := (yield wanted)):  # psycopg looks every tenth of a second whether it should go on
                    if monotonic() > until:
                        self.close()
                        raise OperationalError(f"there was no answer in {seconds:g} seconds")

    return Limited
