"""The child process of an `Asker`: reads Questions from stdin, a line each, and answers each with a line.

It ends when its parent does, or when it was not asked for a while: its memory is needed at a start and little after.

It uses SQLAlchemy's core alone, without the mapped classes, because its start-up is part of a server's.
"""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from mlpatterns.errors import MissingExtra, UserError
from mlpatterns.registry.question import Failure, Question, unknown_alias, unknown_model, unknown_version
from mlpatterns.stores.registry import Answer

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

__all__ = ["Lookup", "look_up"]

IDLE = 10.0  # seconds without a question after which it ends


class Lookup:
    """Asks the registry at one URL, as often as it is told to, over one engine."""

    def __init__(self) -> None:
        self._engine: Engine | None = None
        self._url = ""
        self._has_tables = False

    def answer(self, question: Question) -> Answer | Failure:
        """Asks; every way in which that can fail is a Failure."""
        try:
            from sqlalchemy.exc import DBAPIError

            from mlpatterns.model_db.database import unusable

            try:
                with self._made(question.url).connect() as connection:
                    self._has_tables = self._has_tables or _has_tables(connection)
                    return _find(connection, question) if self._has_tables else unknown_model(question.name)
            except DBAPIError as error:
                return Failure(str(unusable(question.url, error)), down=True)
        except ImportError:
            return Failure("the registry", extra="registry")
        except MissingExtra as error:
            return Failure(str(error).partition(" needs an extra")[0], extra=error.extra)
        except UserError as error:
            return Failure(str(error))

    def close(self) -> None:
        if self._engine is not None:
            self._engine.dispose()

    def _made(self, url: str) -> Engine:
        from mlpatterns.model_db.database import engine

        if self._engine is None or self._url != url:
            self.close()
            self._engine, self._url, self._has_tables = engine(url), url, False
        return self._engine


def look_up(question: Question) -> Answer | Failure:
    """One question, asked and done with."""
    lookup = Lookup()
    try:
        return lookup.answer(question)
    finally:
        lookup.close()


def _has_tables(connection: Connection) -> bool:
    from sqlalchemy import inspect

    return inspect(connection).has_table("artifacts")


def _rows(connection: Connection, statement: str, **values: Any) -> list[Any]:
    from sqlalchemy import text

    return list(connection.execute(text(statement), values))


def _find(connection: Connection, question: Question) -> Answer | Failure:
    number = question.version if question.version is not None else _number_of_alias(connection, question)
    found = [] if number is None else _rows(
        connection,
        "SELECT v.number, a.url, a.manifest_sha256 FROM models m JOIN versions v ON v.model_id = m.model_id"
        " JOIN artifacts a ON a.version_id = v.version_id WHERE m.model_name = :name AND v.number = :number",
        name=question.name,
        number=number,
    )  # fmt: skip
    return Answer(*found[0]) if found else _missing(connection, question)


def _number_of_alias(connection: Connection, question: Question) -> int | None:
    found = _rows(
        connection,
        "SELECT a.number FROM models m JOIN aliases a ON a.model_id = m.model_id"
        " WHERE m.model_name = :name AND a.alias = :alias",
        name=question.name,
        alias=question.alias,
    )
    return int(found[0][0]) if found else None


def _missing(connection: Connection, question: Question) -> Failure:
    """Which part of the reference is not there, and what there is instead."""
    name = question.name
    models = tuple(row[0] for row in _rows(connection, "SELECT model_name FROM models"))
    if name not in models:
        return unknown_model(name, models)
    of_model = "x JOIN models m ON m.model_id = x.model_id WHERE m.model_name = :name"
    if question.version is not None:
        rows = _rows(connection, f"SELECT x.number FROM versions {of_model}", name=name)  # noqa: S608 - constants
        return unknown_version(name, question.version, (row[0] for row in rows))
    rows = _rows(connection, f"SELECT x.alias FROM aliases {of_model}", name=name)  # noqa: S608 - constants
    return unknown_alias(name, question.alias, (row[0] for row in rows))


def questions(source: int) -> Iterator[Question]:
    """Those that come, until there is no more or none came for a while."""
    said = b""
    while select.select([source], [], [], IDLE)[0]:
        more = os.read(source, 65_536)
        if not more:
            return
        *lines, said = (said + more).split(b"\n")
        yield from (msgspec.json.decode(line, type=Question) for line in lines)


def main() -> None:
    """A line out for each line in."""
    lookup = Lookup()
    for question in questions(sys.stdin.fileno()):
        sys.stdout.buffer.write(msgspec.json.encode(lookup.answer(question)) + b"\n")
        sys.stdout.buffer.flush()
    lookup.close()


if __name__ == "__main__":
    main()
