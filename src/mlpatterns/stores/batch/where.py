"""The condition that selects the rows of a batch run: `species = 'setosa' and petal_length >= 1.5`.

It consists of comparisons of a column with a number, a text in quotes or null, joined by `and`. A database gets the
values as parameters, so that no text of a user becomes SQL.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, get_args

from msgspec import Struct

from mlpatterns.redaction import quoted
from mlpatterns.user_errors import SettingsError

__all__ = ["Comparison", "Operator", "matches", "parse_where"]

Operator = Literal["=", "!=", "<=", ">=", "<", ">"]
MOST_CHARACTERS = 4096
_TOKEN = re.compile(
    r"""\s*(?:(?P<op><=|>=|!=|<>|=|<|>)
      |(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(?![A-Za-z_0-9.])
      |'(?P<text>(?:[^']|'')*)'
      |"(?P<quoted>(?:[^"]|"")+)"
      |(?P<word>[^\W\d]\w*))""",
    re.VERBOSE,
)
_TESTS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq, "!=": operator.ne, "<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt,
}  # fmt: skip


class Comparison(Struct, frozen=True):
    """One comparison. A value of None is null, which is only allowed with `=` and `!=`."""

    column: str
    op: Operator
    value: int | float | str | None

    def __str__(self) -> str:
        if isinstance(self.value, str):
            shown = "'{}'".format(self.value.replace("'", "''"))
        else:
            shown = "null" if self.value is None else repr(self.value)
        return '"{}" {} {}'.format(self.column.replace('"', '""'), self.op, shown)


def parse_where(text: str) -> tuple[Comparison, ...]:
    """The comparisons in `text`; empty if it is blank.

    Raises:
        SettingsError: it is not a valid condition.
    """
    if len(text) > MOST_CHARACTERS or "\0" in text:
        raise SettingsError(f"a condition has at most {MOST_CHARACTERS} characters, and no NUL")
    tokens = list(_tokens(text))
    if not tokens:
        return ()
    found = []
    while True:
        found.append(_comparison(tokens[:3]))
        rest = tokens[3:]
        if not rest:
            return tuple(found)
        kind, value = rest[0]
        if kind != "word" or value.lower() != "and":
            raise SettingsError(f"a condition is COLUMN OP VALUE [and …], and {quoted(str(value))}is not `and`")
        tokens = rest[1:]


def matches(conditions: Sequence[Comparison], row: Mapping[str, Any]) -> bool:
    """Whether a row meets all conditions, with the rules of SQL: null meets only comparisons with null, and only
    numbers meet comparisons with numbers. Text from a file counts as a number if it is one, and as null if empty."""
    return all(_fits(each, row[each.column]) for each in conditions)


def _fits(condition: Comparison, cell: Any) -> bool:
    value = condition.value
    if cell == "" or cell is None:
        return value is None and condition.op == "="
    if value is None:
        return condition.op == "!="
    if isinstance(value, str):
        return _TESTS[condition.op](cell if isinstance(cell, str) else str(cell), value)
    try:
        number = cell if isinstance(cell, int | float) else _number(str(cell))
    except ValueError:
        return False
    return _TESTS[condition.op](number, value)


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)


def _comparison(tokens: Sequence[tuple[str, Any]]) -> Comparison:
    if len(tokens) < 3:
        raise SettingsError("a condition is COLUMN OP VALUE [and …], as in: species = 'setosa' and petal_length > 1.5")
    (name_kind, name), (op_kind, op), (kind, value) = tokens
    if name_kind not in ("word", "quoted") or op_kind != "op":
        raise SettingsError(f"a condition begins with a column and one of {' '.join(get_args(Operator))}")
    if kind == "word" and value.lower() == "null":
        if op not in ("=", "!="):
            raise SettingsError("null can only be compared with = and !=")
        return Comparison(name, op, None)
    if kind not in ("number", "text"):
        raise SettingsError(f"{quoted(str(value))} is not a value: write a number, a text in single quotes, or null")
    return Comparison(name, op, value)


def _tokens(text: str) -> Iterator[tuple[str, Any]]:
    place = 0
    while text[place:].strip():
        match = _TOKEN.match(text, place)
        if match is None:
            raise SettingsError(f"a condition cannot be read at {quoted(text[place:].strip())}")
        place = match.end()
        kind = match.lastgroup or ""
        value: Any = match[kind]
        if kind == "op":
            value = "!=" if value == "<>" else value
        elif kind == "number":
            value = _number(value)
            if abs(value) >= 2**63:
                value = float(value)
        elif kind == "text":
            value = value.replace("''", "'")
        elif kind == "quoted":
            value = value.replace('""', '"')
        yield kind, value
