"""A connection to PostgreSQL: opened at the first use, opened again after an error, with a time limit for each call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from mlpatterns.errors import Unavailable
from mlpatterns.redaction import redact
from mlpatterns.user_errors import MissingExtra, SettingsError

if TYPE_CHECKING:
    from psycopg import AsyncConnection

    Connection: TypeAlias = AsyncConnection[tuple[Any, ...]]

__all__ = ["PostgresSession", "postgres_place"]

T = TypeVar("T")

SECONDS = 2.0  # for one call, including the time to connect


class PostgresSession:
    """One connection. Calls use it one at a time.

    Args:
        url: `postgresql://…`, with any parameter that libpq knows.
        what: what is stored there, for error texts, such as "a cache".

    Raises:
        MissingExtra: psycopg is not installed.
        SettingsError: libpq does not understand the URL.
    """

    def __init__(self, url: str, what: str) -> None:
        self.where, self._place = redact(url), postgres_place(url, what)
        self._slot = ConnectionSlot()
        self._given_up: set[asyncio.Task[Any]] = set()

    async def close(self) -> None:
        for task in self._given_up:
            task.cancel()
        await asyncio.gather(*self._given_up, return_exceptions=True)
        await self._slot.drop()

    async def run(self, work: Callable[[Connection], Awaitable[T]], *, again: bool = False) -> T:
        """Returns the result of `work`.

        Args:
            again: whether `work` may run twice: if the connection was lost, it runs again on a new connection.

        Raises:
            Unavailable: `work` failed, or did not end within `SECONDS` and may have succeeded. The text may name
                internals.
        """
        from psycopg import Error

        task = asyncio.create_task(self._work(self._slot, work, again))
        try:
            await asyncio.wait([task], timeout=SECONDS)
        finally:
            if not task.done():
                self._give_up(task)
        if not task.done():
            raise Unavailable("there is no answer in time")
        try:
            return task.result()
        except (Error, OSError) as error:
            raise Unavailable(" ".join(str(error).split())) from error

    def _give_up(self, task: asyncio.Task[Any]) -> None:
        """Cancels a task that hangs. Does not wait for its end, because psycopg may take longer than the callers can
        wait. Later calls use a new connection."""
        self._slot = ConnectionSlot()
        self._given_up.add(task)
        task.add_done_callback(self._forget)
        task.cancel()

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._given_up.discard(task)
        if not task.cancelled():
            task.exception()  # retrieved, or asyncio would log a traceback of what no caller waits for

    async def _work(self, slot: ConnectionSlot, work: Callable[[Connection], Awaitable[T]], again: bool) -> T:
        from psycopg import OperationalError

        async with slot.lock:
            old = slot.connection is not None
            try:
                return await self._try(slot, work)
            except OperationalError:
                if not (again and old):
                    raise
            return await self._try(slot, work)

    async def _try(self, slot: ConnectionSlot, work: Callable[[Connection], Awaitable[T]]) -> T:
        try:
            if slot.connection is None:
                slot.connection = await self._connect()
            return await work(slot.connection)
        except BaseException:
            await slot.drop()
            raise

    async def _connect(self) -> Connection:
        from psycopg import AsyncConnection, IsolationLevel

        # No prepared statements: a connection pooler between this process and the server would mix them up.
        connection = await AsyncConnection.connect(self._place, autocommit=True, prepare_threshold=None)
        await connection.set_isolation_level(IsolationLevel.READ_COMMITTED)  # whatever the server's default is
        return connection


def postgres_place(url: str, what: str) -> str:
    """The connection string for libpq; raises as PostgresSession does."""
    try:
        import psycopg
        from psycopg.conninfo import conninfo_to_dict, make_conninfo
    except ImportError as error:
        raise MissingExtra(f"{what} in PostgreSQL", "postgres") from error
    scheme, _, rest = url.partition("://")
    place = ""
    try:
        given = {"application_name": "mlpatterns", **conninfo_to_dict(f"{scheme.partition('+')[0]}://{rest}")}
        place = make_conninfo("", **{**given, "client_encoding": "utf8"})
        sound = all(port.isdigit() for port in str(given.get("port", 0)).split(","))
    except psycopg.Error:
        sound = False
    if not sound:  # not libpq's own text, which may contain a part of the password
        raise SettingsError(
            f"{what} in PostgreSQL needs a URL like postgresql://USER:PASSWORD@HOST:PORT/DATABASE, not {redact(url)}"
        )
    return place


class ConnectionSlot:
    """A connection, or None before the first use, and the lock of its current user."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.connection: Connection | None = None

    async def drop(self) -> None:
        connection, self.connection = self.connection, None
        if connection is not None:
            await connection.close()
