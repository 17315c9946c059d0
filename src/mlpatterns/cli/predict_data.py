"""Turns the data that a user gives to `mlpatterns predict` into the body of a request."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from mlpatterns.user_errors import WrongUse

__all__ = ["Kinds", "parse_data"]

ROW = "5.1,3.5,1.4,0.2"
TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}  # in a column of booleans
Cells = list[list[str]]
Kinds = Mapping[str, str] | str  # data_type of `/metadata`: by column name, or one for all columns


def parse_data(text: str, kinds: Callable[[], Kinds] = dict) -> bytes:
    """The body to send.

    A JSON object with `data` or `image_data` is sent unchanged. Any other JSON object is one row by column name, or, if
    one of its values is a list, columns by name. JSON lists, JSON strings and rows are sent as `{"data": …}`.

    Rows are text with one row a line, in one of four forms: numbers; cells with names, ``age=22,sex=m``; a mix of
    numbers and texts; or a table whose first line names the columns.

    Args:
        kinds: returns the types of the columns, so that digits in a column of texts stay text. It is called only if
            the cells are not all numbers.

    Raises:
        UserError: the text is neither JSON nor rows.
    """
    text = text.strip()
    if text[:1] in ("{", "[", '"'):
        try:
            value = msgspec.json.decode(text)
        except msgspec.MsgspecError as error:
            raise WrongUse(f"the data is not JSON: {error}") from error
        if not isinstance(value, dict):
            return _wrapped(value)
        return text.encode() if not value or {"data", "image_data"} & set(value) else _named(value)
    try:
        cells = [line for line in csv.reader(text.splitlines(), skipinitialspace=True) if line]
    except csv.Error:
        cells = [["?"]]
    for read in FORMS:
        rows = read(cells, kinds)
        if rows is not None:
            return _wrapped(rows)
    hint = f"; write @{text[:100]} for the file" if re.fullmatch(r"\S+\.[A-Za-z]+", text) else ""
    raise WrongUse(f"the data is neither JSON nor rows of numbers like {ROW}{hint}")


def _named(columns: dict[str, Any]) -> bytes:
    """One row by name, or columns by name."""
    one = not any(isinstance(value, list) for value in columns.values())
    return msgspec.json.encode({"data": [columns] if one else columns})


def _wrapped(rows: Any) -> bytes:
    if not rows:
        raise WrongUse(f"there is no data to send; write a row like {ROW}")
    whole = isinstance(rows, str) or isinstance(rows[0], list | dict | str)
    return msgspec.json.encode({"data": rows if whole else [rows]})


def _numbers(cells: Cells, _: Callable[[], Kinds]) -> list[Any] | None:
    try:
        return [[float(cell) for cell in line] for line in cells]
    except ValueError:
        return None


def _pairs(cells: Cells, kinds: Callable[[], Kinds]) -> list[Any] | None:
    """Cells with names: ``age=22,sex=m``."""
    if not all(re.match(r"[^=]+=", cell) for line in cells for cell in line):
        return None
    pairs = [[cell.partition("=")[::2] for cell in line] for line in cells]
    known = kinds()
    return [{name.strip(): _value(value, _kind(known, name.strip())) for name, value in line} for line in pairs]


def _table(cells: Cells, kinds: Callable[[], Kinds]) -> list[Any] | None:
    """A table whose first line names the columns."""
    names, lines = cells[0], cells[1:]
    if not lines or any(_is_number(name) or not name for name in names) or any(len(x) != len(names) for x in lines):
        return None
    known = kinds()
    return [{name: _value(cell, _kind(known, name)) for name, cell in zip(names, line, strict=True)} for line in lines]


def _mixed(cells: Cells, kinds: Callable[[], Kinds]) -> list[Any] | None:
    """Texts among numbers: ``22,7.25,m,3``."""
    if not all(all(line) and any(map(_is_number, line)) for line in cells):
        return None
    known = kinds()
    names = () if isinstance(known, str) else tuple(known)
    return [[_value(cell, _kind(known, names[place] if place < len(names) else "")) for place, cell in enumerate(line)]
            for line in cells]  # fmt: skip


FORMS: tuple[Callable[[Cells, Callable[[], Kinds]], list[Any] | None], ...] = (_numbers, _pairs, _table, _mixed)


def _kind(known: Kinds, name: str) -> str:
    return known if isinstance(known, str) else known.get(name, "")


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _value(cell: str, kind: str) -> Any:
    """A cell as a JSON value. In a column of texts it stays text. In other columns an empty cell is null, and a cell
    that cannot be read as a number, true or false is text."""
    cell = cell.strip()
    if kind == "str":
        return cell
    if not cell:
        return None
    if cell.lower() in (TRUTH if kind == "bool" else ("true", "false")):  # Python and pandas write True
        return TRUTH[cell.lower()]
    try:
        value = msgspec.json.decode(cell)
    except (msgspec.MsgspecError, UnicodeEncodeError):
        return cell
    return cell if isinstance(value, list | dict) else value
