"""Converts each error of the JSON decoder to one sentence that describes what the body must be."""

from __future__ import annotations

import re

import msgspec

from mlpatterns.oip.wire import WORDS, what_it_is
from mlpatterns.tensors import allow_missing

__all__ = ["NO_NAMES", "ORIENTATION", "SPLIT", "expected", "explain", "place"]

ROW_WORDS = WORDS | {"object | array": "a row", "array | object": "a row", "int | float": "an integer"}
ORIENTATION = 'send rows, as a DataFrame\'s to_dict("records") gives them, or columns, as to_dict("list")'
SPLIT = f"the body has columns beside data: {ORIENTATION}"
NO_NAMES = "this model's columns have no names; send rows as lists"


def explain(error: Exception, body: bytes, fields: tuple[str, ...] = (), datatype: str = "") -> str:
    """Converts an error of msgspec to one sentence, with the name of the column if the error is in a column.

    Args:
        fields: the names of the columns of a row.
        datatype: the datatype of the numbers. For floats, an error about null explains how to allow missing values.
    """
    if isinstance(error, RecursionError):
        return "the JSON is nested too deeply"
    text = str(error)
    if not isinstance(error, msgspec.ValidationError):
        return _nan_or_infinity(text, body) or f"the body is not valid JSON: {what_it_is(body) or _decoder_text(error)}"
    if "missing required field" in text:
        return "the body must be an object with the field data"
    return place(error, "", fields, datatype)


def place(error: Exception, root: str, fields: tuple[str, ...] = (), datatype: str = "") -> str:
    """Converts an error of msgspec to a sentence that begins with the position of the error, a path that starts with
    `root`. The other arguments are those of `explain`."""
    what, _, where = str(error).partition(" - at `$")
    where = (root + where.rstrip("`")).lstrip(".").replace("[...]", "a field") or "the body"
    column = re.fullmatch(r"data\[\d+\]\[(\d+)\]", where)
    name = fields[int(column[1])] if column and int(column[1]) < len(fields) else ""
    hint = allow_missing(name) if datatype.startswith("FP") and "got `null`" in what and where != "data" else ""
    return f"{where}{f' ({name})' if name else ''}{expected(what, where)}{hint}"


def expected(what: str, where: str = "") -> str:
    """The part of a sentence that follows the position `where`, made from msgspec's text `what`."""
    kinds = re.fullmatch(r"Expected `(.+)`, got `(.+)`", what)
    if not kinds:
        return f": {what[:1].lower()}{what[1:]}"
    wanted = "a list" if where == "data" and "array" in kinds[1] else ROW_WORDS.get(kinds[1], kinds[1])
    return f" must be {wanted}, not {ROW_WORDS.get(kinds[2], kinds[2])}"


def _nan_or_infinity(said: str, body: bytes) -> str:
    """A sentence about NaN or infinity, which Python's `json` writes. It is empty if the error text `said` is about
    another part of the body."""
    found = re.search(r"\(byte (\d+)\)", said)
    word = body[int(found[1]) :][:9].lstrip(b"-") if found else b""
    if word.startswith(b"NaN"):
        return "the body is not valid JSON, which has no NaN; send null for a missing value"
    return "the body is not valid JSON, which has no infinity" if word.startswith(b"Inf") else ""


def _decoder_text(error: Exception) -> str:
    """The decoder's own error text."""
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8"
    what = str(error).removeprefix("JSON is malformed: ")
    return f"{what[:1].lower()}{what[1:]}"
