"""The child process of `locate`: reads a Question from stdin, asks the registry, writes an Answer or a Failure.

It uses SQLAlchemy's core alone, without the mapped classes, because its start-up is part of a server's.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import msgspec

from mlpatterns.errors import MissingExtra, UserError
from mlpatterns.registry.question import Answer, Failure, Question, unknown_model

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["look_up"]


def look_up(question: Question) -> Answer | Failure:
    """Asks the registry; every way in which that can fail is a Failure."""
    try:
        from sqlalchemy.exc import DBAPIError

        from mlpatterns.model_db.database import engine, unusable

        made = engine(question.url)
        try:
            with made.connect() as connection:
                return _find(connection, question) if _has_tables(connection) else unknown_model(question.name)
        except DBAPIError as error:
            return Failure(str(unusable(question.url, error)))
        finally:
            made.dispose()
    except ImportError:
        return Failure("the registry", extra="registry")
    except MissingExtra as error:
        return Failure(str(error).partition(" needs an extra")[0], extra=error.extra)
    except UserError as error:
        return Failure(str(error))


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
        latest = max((row[0] for row in rows), default=0)
        hint = f"its latest is {latest}" if latest else f"it has none; `mlpatterns train {name}` makes one"
        return Failure(kind="model version", name=f"{name}:{question.version}", hint=hint)
    rows = _rows(connection, f"SELECT x.alias FROM aliases {of_model}", name=name)  # noqa: S608 - constants
    hint = "" if rows else f"`mlpatterns train {name}` makes a version and its champion"
    known = tuple(f"{name}@{row[0]}" for row in rows)
    return Failure(kind="model alias", name=f"{name}@{question.alias}", known=known, hint=hint)


def main() -> None:
    """One question in, one answer out."""
    question = msgspec.json.decode(sys.stdin.buffer.read(), type=Question)
    sys.stdout.buffer.write(msgspec.json.encode(look_up(question)))


if __name__ == "__main__":
    main()
