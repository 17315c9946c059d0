"""The ControlStore in PostgreSQL, for all workers and replicas: `postgresql://user:password@host/database`.

Documents are as durable as PostgreSQL itself. The first use creates two tables, in the first schema of the user's
search path. A role that may not create tables can use tables that another role has created.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

from mlpatterns.errors import Conflict, Unavailable
from mlpatterns.interfaces import Document
from mlpatterns.stores.control_codec import KEPT, conflict, document, encode_value
from mlpatterns.stores.postgres_session import PostgresSession

if TYPE_CHECKING:
    from mlpatterns.stores.postgres_session import Connection

__all__ = ["PostgresControl"]

LOCK = 0x6D6C7073  # a PostgreSQL advisory lock: only one starting process at a time creates the tables
READY = "SELECT to_regclass('mlpatterns_control_changes') IS NOT NULL"
TABLES = (
    """CREATE TABLE IF NOT EXISTS mlpatterns_control (
        key text PRIMARY KEY, revision bigint NOT NULL, value text NOT NULL, by text NOT NULL, at timestamptz NOT NULL
    )""",
    """CREATE TABLE IF NOT EXISTS mlpatterns_control_changes (
        key text NOT NULL, revision bigint NOT NULL, value text NOT NULL, by text NOT NULL, at timestamptz NOT NULL,
        PRIMARY KEY (key, revision)
    )""",
)
GET = """
SELECT key, value, revision, by, extract(epoch FROM at)::float8 FROM mlpatterns_control WHERE key = ANY(%s)
"""
HISTORY = """
SELECT key, value, revision, by, extract(epoch FROM at)::float8 FROM mlpatterns_control_changes
WHERE key = %s ORDER BY revision DESC LIMIT %s
"""
FIRST = """INSERT INTO mlpatterns_control VALUES (%(key)s, 1, %(value)s, %(by)s, clock_timestamp())
ON CONFLICT DO NOTHING RETURNING *"""
NEXT = """UPDATE mlpatterns_control SET revision = revision + 1, value = %(value)s, by = %(by)s, at = clock_timestamp()
WHERE key = %(key)s AND revision = %(expected)s RETURNING *"""
# One statement does three things: it writes the document, adds the change, and deletes the oldest changes.
CHANGE = """, change AS (INSERT INTO mlpatterns_control_changes SELECT * FROM put), gone AS (
    DELETE FROM mlpatterns_control_changes AS old USING put
    WHERE old.key = put.key AND old.revision <= put.revision - %(kept)s
) SELECT key, value, revision, by, extract(epoch FROM at)::float8 FROM put"""
PUT_FIRST, PUT_NEXT = (f"WITH put AS ({write}){CHANGE}" for write in (FIRST, NEXT))


class PostgresControl:
    """Uses one connection for each process."""

    def __init__(self, session: PostgresSession) -> None:
        self._session = session
        self._has_tables = False

    @classmethod
    async def open(cls, url: str) -> Self:
        return cls(PostgresSession(url, "control"))

    async def close(self) -> None:
        await self._session.close()

    async def get_many(self, keys: Sequence[str]) -> dict[str, Document[Any]]:
        found = await self._rows(GET, (list(keys),))
        return {row[0]: document(*row) for row in found}

    async def put(self, key: str, value: Any, *, expected: int | None, by: str) -> Document[Any]:
        encoded = encode_value(key, value, by)
        await self._rows("SELECT 1", ())  # reconnects now if the connection was lost
        given = {"key": key, "value": encoded.decode(), "by": by, "expected": expected, "kept": KEPT}

        async def write(connection: Connection) -> list[tuple[Any, ...]]:
            async with connection.transaction():  # READ COMMITTED: the loser of a race sees the winner's revision
                cursor = await connection.execute(PUT_FIRST if expected is None else PUT_NEXT, given)
                return await cursor.fetchall()

        with self._answering():
            written = await self._session.run(write)
        if not written:
            raise await self._conflict(key, expected)
        return document(*written[0])

    async def history(self, key: str, limit: int = 20) -> list[Document[Any]]:
        return [document(*row) for row in await self._rows(HISTORY, (key, max(0, limit)))]

    async def _conflict(self, key: str, expected: int | None) -> Conflict:
        found = (await self.get_many([key])).get(key)
        return conflict(key, found.revision if found else None, expected)

    async def _rows(self, query: str, given: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        async def read(connection: Connection) -> list[tuple[Any, ...]]:
            cursor = await connection.execute(query, given)
            return await cursor.fetchall()

        with self._answering():
            if not self._has_tables:
                await self._session.run(_make_tables, again=True)
                self._has_tables = True
            return await self._session.run(read, again=True)

    @contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except Unavailable as error:
            raise Unavailable("the control store does not answer") from error


async def _make_tables(connection: Connection) -> None:
    cursor = await connection.execute(READY)
    if await cursor.fetchone() == (True,):
        return
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        for table in TABLES:
            await connection.execute(table)
