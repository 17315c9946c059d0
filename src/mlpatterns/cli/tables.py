"""Reads a CSV or Parquet file as columns of numbers and of categories; every error is one sentence."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from mlpatterns.analysis.columns import ColumnValues, categories, numbers_in
from mlpatterns.user_errors import MissingExtra, TableError

__all__ = ["TextTable", "read_table", "typed"]

DELIMITERS = ",;\t|"
MISSING = frozenset({"", "na", "n/a", "nan", "null", "none"})
MOST = 50_000_000  # cells
LONGEST = 100_000  # characters of a cell; the limit of csv itself applies to every reader of the process
SHOWN = 40  # characters of a cell in an error
NESTED = ("list", "large_list", "struct", "map", "fixed_size_list", "union", "binary", "large_binary")

Cell = float | str | None


class TextTable(Struct, frozen=True):
    """The cells of a table by column; all columns have the same length. Numbers are floats, except in text columns.

    Attributes:
        name: the file, for errors.
        columns: the cells by column name.
        first: the number of the first row in errors: in a CSV file 2, since line 1 has the names.
    """

    name: str
    columns: dict[str, list[Cell]]
    first: int = 1

    @property
    def rows(self) -> int:
        return len(next(iter(self.columns.values())))


def read_table(path: Path, texts: Collection[str] = ()) -> TextTable:
    """Reads a table: Parquet if the file ends with .parquet or .pq, else CSV whose first line names the columns.

    Args:
        texts: columns whose cells stay text, such as ids, in which 007 is not 7.

    Raises:
        TableError: the file cannot be read, or is not a table.
        MissingExtra: the file is Parquet, and pyarrow is not installed.
    """
    try:
        table = _parquet(path, texts) if path.suffix.lower() in (".parquet", ".pq") else _csv(path, texts)
    except OSError as error:
        raise TableError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}") from error
    if not table.columns or not table.rows:
        raise TableError(f"{path} has no rows")
    return table


def typed(table: TextTable, kinds: Mapping[str, str], forced: Collection[str] = ()) -> dict[str, ColumnValues]:
    """The columns of `table` with their kinds: from `kinds` if the column is in it, else from the cells.

    Args:
        kinds: ``number`` or ``category`` by column.
        forced: the names of columns that hold categories, although they look like numbers.

    Raises:
        TableError: a column mixes numbers and text, and neither `kinds` nor `forced` has it.
    """
    found = {}
    for name, cells in table.columns.items():
        if "category" in (kinds.get(name), "category" if name in forced else "") or (
            name not in kinds and _is_text(table, name, cells)
        ):
            found[name] = categories(name, map(_label, cells))
        else:
            found[name] = numbers_in(name, cells)
    return found


def _is_text(table: TextTable, name: str, cells: Sequence[Cell]) -> bool:
    texts = [index for index, cell in enumerate(cells) if isinstance(cell, str)]
    some_numbers = any(isinstance(cell, float) for cell in cells)
    if texts and some_numbers:
        cell = _shown(str(cells[texts[0]]))
        raise TableError(
            f"the column {name!r} of {table.name} mixes numbers and text, such as {cell} in line "
            f"{table.first + texts[0]}; correct it, or give --category {name} if its values are categories"
        )
    return bool(texts)


def _label(cell: Cell) -> str | None:
    return f"{cell:g}" if isinstance(cell, float) else cell


# ---- CSV -----------------------------------------------------------------------------------------------------------


def _csv(path: Path, texts: Collection[str]) -> TextTable:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _rows(path, file, texts)
    except UnicodeDecodeError as error:
        raise TableError(f"{path} is not UTF-8 text; save it as CSV in UTF-8, or as .parquet") from error
    except csv.Error as error:
        raise TableError(f"{path} is not CSV: {error}") from error


def _rows(path: Path, file: Any, texts: Collection[str]) -> TextTable:
    header = file.readline()
    file.seek(0)
    delimiter = max(DELIMITERS, key=header.count)
    lines = csv.reader(file, delimiter=delimiter, strict=True)
    names = _names(path, [name.strip() for name in next(lines, [])])
    columns: list[list[Cell]] = [[] for _ in names]
    made = [str.strip if name in texts else _cell for name in names]
    for row in _filled(lines, len(names)):
        if len(row) != len(names):
            raise TableError(
                f"line {lines.line_num} of {path} has {len(row)} values, and the first line names {len(names)} columns"
            )
        if max(map(len, row)) > LONGEST:
            raise TableError(f"line {lines.line_num} of {path} has a value of more than {LONGEST} characters")
        for column, make, text in zip(columns, made, row, strict=True):
            column.append(make(text))
        if len(names) * len(columns[0]) > MOST:
            raise TableError(f"{path} has more than {MOST} values; take a sample of its rows")
    return TextTable(str(path), dict(zip(names, columns, strict=True)), 2)


def _filled(lines: Iterator[list[str]], width: int) -> Iterator[list[str]]:
    """The lines without empty ones; but in a file of one column an empty line is a missing value."""
    return (row or [""] for row in lines if row or width == 1)


def _names(path: Path, names: list[str]) -> list[str]:
    if not any(names):
        raise TableError(f"{path} is empty; its first line must name the columns")
    if "" in names:
        raise TableError(f"column {names.index('') + 1} of {path} has no name; its first line must name all columns")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise TableError(f"{path} has two columns called {_shown(twice)}; rename one")
    if all(isinstance(_cell(name), float) for name in names):
        raise TableError(f"the first line of {path} holds numbers; it must name the columns")
    return names


def _cell(text: str) -> Cell:
    text = text.strip()
    if text.lower() in MISSING:
        return None
    try:
        return text if "_" in text else float(text)
    except ValueError:
        return text


def _shown(text: str) -> str:
    return repr(text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…")


# ---- Parquet -------------------------------------------------------------------------------------------------------


def _parquet(path: Path, texts: Collection[str]) -> TextTable:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise MissingExtra("a table in Parquet", "parquet") from error
    try:
        described = parquet.read_metadata(path)
        if described.num_rows * described.num_columns > MOST:
            raise TableError(f"{path} has more than {MOST} values; take a sample of its rows")
        read = parquet.read_table(path, use_threads=False)
    except pa.ArrowException as error:
        raise TableError(f"{path} is not a Parquet file that can be read") from error
    names = _names(path, list(map(str, read.column_names)))
    for name, column in zip(names, read.columns, strict=True):
        if str(column.type).partition("<")[0].partition("[")[0] in NESTED:
            raise TableError(f"the column {name!r} of {path} holds {column.type}; only numbers and text are compared")
    made = [_text if name in texts else _value for name in names]
    values = [[make(value) for value in column.to_pylist()] for make, column in zip(made, read.columns, strict=True)]
    return TextTable(str(path), dict(zip(names, values, strict=True)))


def _text(value: Any) -> Cell:
    return "" if value is None else str(value)


def _value(value: Any) -> Cell:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):  # a date, a time
        return str(value)
