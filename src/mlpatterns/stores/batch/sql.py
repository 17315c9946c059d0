"""Tables in any supported SQL database as sources and sinks of batch runs: `DATABASE-URL?table=items&key=id`.

The results of a page and the new state of the run are written in one transaction. With `&into=COLUMN`, results
are written as JSON into this column of the source table. Without it, they are written into a separate table, which the
run creates.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec.structs import replace

from mlpatterns.errors import Conflict, Unavailable
from mlpatterns.redaction import quoted
from mlpatterns.stores.batch import BatchRun, Column, Failure, Page, Results, Shape, cells
from mlpatterns.stores.batch.database import ConstraintViolated, Database
from mlpatterns.stores.batch.table import TablePlace
from mlpatterns.stores.batch.where import Comparison
from mlpatterns.user_errors import SettingsError, UnknownName

__all__ = ["SqlSink", "SqlSource"]

RUNS = "mlpatterns_batch_runs"
TOUCHED = "updated_datetime"  # if the table has this column, it is set together with the prediction
NUMBERS, TEXTS = ("int", "float"), ("text", "json", "time")


class SqlSource:
    """See BatchSource; its calls block."""

    def __init__(self, database: Database, place: TablePlace) -> None:
        self._database, self._place = database, place
        self._shape: Shape | None = None

    def shape(self) -> Shape:
        place = self._place
        columns = {column.name: column for column in self._database.columns(place.table)}
        if not columns:
            raise UnknownName("table", place.table, hint="the URL of a table must end in ?table=NAME")
        if place.key not in columns:
            raise UnknownName("column", place.key, columns, "the URL of a table must give its key as &key=NAME")
        self._shape = Shape(tuple(columns.values()), columns[place.key])
        return self._shape

    def count(self, after: Any, where: Sequence[Comparison]) -> int | None:
        condition, values = self._condition(after, where)
        ((count,),) = self._database.query(
            f"SELECT count(*) FROM {self._name(self._place.table)} WHERE {condition}",
            values,
        )
        return int(count)

    def read(self, columns: Sequence[str], after: Any, limit: int, where: Sequence[Comparison]) -> Page | None:
        condition, values = self._condition(after, where)
        known = self._known()
        key = self._name(self._place.key)
        shown = ", ".join(self._database.shown(known[name]) for name in (self._place.key, *columns))
        # One extra row, to check that the next page does not begin with the last key of this page.
        found = self._database.query_columns(
            f"SELECT {shown} FROM {self._name(self._place.table)} WHERE {condition} ORDER BY {key} LIMIT {limit + 1:d}",
            values,
            [known[name] for name in (self._place.key, *columns)],
        )
        if found is None:
            return None
        keys = cells(found[0])
        if len(set(keys)) < len(keys):
            raise SettingsError(
                f"the column {quoted(self._place.key)} has a value twice; name a column that identifies rows as "
                "&key=NAME"
            )
        if len(keys) > limit:
            keys, found = keys[:limit], [column[:limit] for column in found]
        return Page(keys, dict(zip(columns, found[1:], strict=True)), _plain(keys[-1]))

    def close(self) -> None:
        self._database.close()

    def _known(self) -> dict[str, Column]:
        return {column.name: column for column in (self._shape or self.shape()).columns}

    def _name(self, name: str) -> str:
        return self._database.name(name)

    def _condition(self, after: Any, where: Sequence[Comparison]) -> tuple[str, list[Any]]:
        """An SQL condition with placeholders, and the values for them. All column names in it exist in the table."""
        known, mark = self._known(), self._database.mark
        parts, values = [f"{self._name(self._place.key)} IS NOT NULL"], []
        for each in where:
            if each.column not in known:
                raise UnknownName("column", each.column, known)
            name = self._name(each.column)
            if each.value is None:
                parts.append(f"{name} IS {'' if each.op == '=' else 'NOT '}NULL")
                continue
            kind = known[each.column].kind
            if kind not in (TEXTS if isinstance(each.value, str) else NUMBERS):
                raise SettingsError(f"the column {quoted(each.column)} holds {kind}: {each} cannot be compared")
            shown = self._database.compared(known[each.column]) if isinstance(each.value, str) else name
            parts.append(f"{shown} {each.op} {mark}")
            values.append(each.value)
        if after is not None:
            parts.append(f"{self._name(self._place.key)} > {mark}")
            values.append(after)
        return " AND ".join(parts), values


class SqlSink:
    """See BatchSink; its calls block."""

    def __init__(self, database: Database, place: TablePlace) -> None:
        self._database, self._place = database, place
        self._target = f"{place.table}.{place.into}" if place.into else place.table
        self._errors = f"{place.table}_errors"
        self._key = Column(place.key, "int")
        self._columns: list[str] = []
        self._touched = False

    def load(self) -> BatchRun | None:
        if not self._database.columns(RUNS):
            return None
        found = self._database.query(
            f"SELECT run, revision FROM {RUNS} WHERE name = {self._database.mark}",
            [self._target],
        )
        if not found:
            return None
        try:
            return replace(msgspec.json.decode(found[0][0], type=BatchRun), revision=int(found[0][1]))
        except (msgspec.MsgspecError, ValueError) as error:
            raise Unavailable(f"the record of {self._target} in {RUNS} is damaged") from error

    def begin(self, run: BatchRun, key: Column, columns: Sequence[Column], *, anew: bool) -> BatchRun:
        place, database = self._place, self._database
        self._key = Column(place.key if place.into else key.name, key.kind)
        self._columns = [column.name for column in columns]
        database.make(self._made_runs())
        known = {column.name for column in database.columns(place.table)}
        if place.into and place.into not in known:
            raise UnknownName(
                "column", place.into, known, "the results go into it; add it, or name another with &into=NAME"
            )
        if not place.into and known and not run.revision and self.load() is None:
            raise SettingsError(f"there is a table {quoted(place.table)} that no batch run made; name another")
        if not place.into and known and not anew and known != {key.name, *self._columns}:
            raise SettingsError(f"the table {quoted(place.table)} has other columns; restart the run, or name another")
        self._touched = bool(place.into) and TOUCHED in known
        with database.transaction():
            begun = self._advance(run)
        if anew:
            database.make([f"DROP TABLE IF EXISTS {database.name(name)}" for name in self._own()])
        database.make(self._made(columns))
        return begun

    def write(self, run: BatchRun, results: Results) -> BatchRun:
        try:
            with self._database.transaction():
                return self._write(run, results)
        except ConstraintViolated as error:
            raise SettingsError(
                f"{error.message}; the rows must differ in {quoted(self._key.name)}: name another column as ?key=NAME"
            ) from error

    def _write(self, run: BatchRun, results: Results) -> BatchRun:
        place, database = self._place, self._database
        written = self._advance(run)
        columns = list(results.columns.values())
        if place.into:
            names = [*self._columns, *([TOUCHED] if self._touched else [])]
            touched = [[_now()] * len(results.keys)] if self._touched else []
            database.update(place.table, self._key, names, [results.keys, *columns, *touched])
            database.delete(self._errors, self._key.name, results.keys)
        else:
            database.insert(place.table, [self._key.name, *self._columns], [results.keys, *columns])
        if results.failures:
            keys = [failure.key for failure in results.failures]
            database.delete(self._errors, self._key.name, keys)
            told = [[each.code for each in results.failures], [each.error for each in results.failures]]
            names = [self._key.name, "code", "error", "at"]
            database.insert(self._errors, names, [keys, *told, [run.at] * len(keys)])
        return written

    def finish(self, run: BatchRun) -> BatchRun:
        with self._database.transaction():
            return self._advance(replace(run, status="finished"))

    def failures(self, limit: int) -> list[Failure]:
        known = self._database.columns(self._errors)
        if not known:
            return []
        key = self._database.name(known[0].name)
        rows = self._database.query(
            f"SELECT {key}, code, error FROM {self._database.name(self._errors)} ORDER BY {key} LIMIT {limit:d}",
            [],
        )
        return [Failure(_plain(key), str(code), str(error)) for key, code, error in rows]

    def close(self) -> None:
        self._database.close()

    def _advance(self, run: BatchRun) -> BatchRun:
        """Writes the run with the next revision and returns it. Raises Conflict if another run has written since."""
        mark, database = self._database.mark, self._database
        text = msgspec.json.encode(run).decode()
        if run.revision:
            changed = database.execute(
                f"UPDATE {RUNS} SET run = {mark}, revision = revision + 1 WHERE name = {mark} AND revision = {mark}",
                [text, self._target, run.revision],
            )
        else:
            changed = database.insert_new(RUNS, ["name", "revision", "run"], [self._target, 1, text])
        if changed != 1:
            raise Conflict(f"another batch run writes to {self._target}; this one stops")
        return replace(run, revision=run.revision + 1)

    def _own(self) -> Iterator[str]:
        yield self._errors
        if not self._place.into:
            yield self._place.table

    def _made_runs(self) -> list[str]:
        types = self._database.types
        columns = f"name {self._database.key_text} PRIMARY KEY, revision {types['int']} NOT NULL"
        return [f"CREATE TABLE IF NOT EXISTS {RUNS} ({columns}, run {types['text']} NOT NULL)"]

    def _made(self, columns: Sequence[Column]) -> list[str]:
        types, name = self._database.types, self._database.name
        key = (
            f"{name(self._key.name)} {types['int'] if self._key.kind == 'int' else self._database.key_text} PRIMARY KEY"
        )
        told = f"code {types['text']} NOT NULL, error {types['text']} NOT NULL, at {types['float']} NOT NULL"
        made = [f"CREATE TABLE IF NOT EXISTS {name(self._errors)} ({key}, {told})"]
        if not self._place.into:
            cells = "".join(f", {name(column.name)} {types[column.kind]}" for column in columns)
            made.append(f"CREATE TABLE IF NOT EXISTS {name(self._place.table)} ({key}{cells})")
        return made


def _now() -> str:
    """The current time in UTC, in ISO 8601 without a time zone, to the second."""
    return datetime.now(UTC).replace(tzinfo=None, microsecond=0).isoformat()


def _plain(key: Any) -> Any:
    """A key as a value that JSON can express and that the database can compare."""
    return key if isinstance(key, int | float | str) else str(key)
