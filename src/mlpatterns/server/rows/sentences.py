"""What a decoder of JSON says of a body of the simple API, as one sentence that says what to send instead."""

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
    """msgspec's words as one sentence, with the column's name where it has one.

    Args:
        fields: the names of the columns of a row.
        datatype: of the numbers; where they may be told to be missing, null gets a hint.
    """
    if isinstance(error, RecursionError):
        return "the JSON is nested too deeply"
    text = str(error)
    if not isinstance(error, msgspec.ValidationError):
        return _no_json(text, body) or f"the body is not valid JSON: {what_it_is(body) or _decoders(error)}"
    if "missing required field" in text:
        return "the body must be an object with the field data"
    return place(error, "", fields, datatype)


def place(error: Exception, root: str, fields: tuple[str, ...] = (), datatype: str = "") -> str:
    """What is wrong at a place below `root`; the other arguments as for `explain`."""
    what, _, where = str(error).partition(" - at `$")
    where = (root + where.rstrip("`")).lstrip(".").replace("[...]", "a field") or "the body"
    column = re.fullmatch(r"data\[\d+\]\[(\d+)\]", where)
    name = fields[int(column[1])] if column and int(column[1]) < len(fields) else ""
    hint = allow_missing(name) if datatype.startswith("FP") and "got `null`" in what and where != "data" else ""
    return f"{where}{f' ({name})' if name else ''}{expected(what, where)}{hint}"


def expected(what: str, where: str = "") -> str:
    """How a sentence that begins with a place goes on, after msgspec's own words."""
    kinds = re.fullmatch(r"Expected `(.+)`, got `(.+)`", what)
    if not kinds:
        return f": {what[:1].lower()}{what[1:]}"
    wanted = "a list" if where == "data" and "array" in kinds[1] else ROW_WORDS.get(kinds[1], kinds[1])
    return f" must be {wanted}, not {ROW_WORDS.get(kinds[2], kinds[2])}"


def _no_json(said: str, body: bytes) -> str:
    """What to send instead, where `said` complains of the NaN or infinity that Python's `json` writes."""
    found = re.search(r"\(byte (\d+)\)", said)
    word = body[int(found[1]) :][:9].lstrip(b"-") if found else b""
    if word.startswith(b"NaN"):
        return "the body is not valid JSON, which has no NaN; send null for a missing value"
    return "the body is not valid JSON, which has no infinity" if word.startswith(b"Inf") else ""


def _decoders(error: Exception) -> str:
    """A decoder's own words."""
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8"
    what = str(error).removeprefix("JSON is malformed: ")
    return f"{what[:1].lower()}{what[1:]}"
