"""The format that every ControlStore writes (values as JSON, never pickled), and the limits of sizes."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from mlpatterns.errors import Conflict, InvalidInput, TooLarge, Unavailable
from mlpatterns.interfaces import Document

__all__ = ["KEPT", "conflict", "damaged", "document", "encode_value"]

KEY = 256  # characters of a key, and of `by`, the name of the writer
VALUE = 64 * 2**10  # bytes of a value as JSON
KEPT = 1000  # the most changes of a document that its history keeps
_NAME = re.compile(rf"[^\x00-\x1f\x7f\ud800-\udfff]{{1,{KEY}}}")


def encode_value(key: str, value: Any, by: str) -> bytes:
    """The value as JSON.

    Raises:
        InvalidInput: JSON cannot express the value (a NaN, an object), or `key` or `by` is not a valid name.
        TooLarge: the JSON has more than 64 KiB.
    """
    for what, name in (("a document's key", key), ("who writes a document", by)):
        if not _NAME.fullmatch(name):
            raise InvalidInput(f"{what} must have 1 to {KEY} characters, none of them a control character")
    try:
        json.dumps(msgspec.to_builtins(value, str_keys=True), allow_nan=False)  # not msgspec, which writes NaN as null
        encoded = msgspec.json.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidInput(f"the value of {key!r} cannot be written as JSON: {error}") from error
    if len(encoded) > VALUE:
        raise TooLarge(f"the value of {key!r} has {len(encoded)} bytes as JSON; it may have {VALUE}")
    return encoded


def document(key: str, encoded: bytes | str, revision: int, by: str, at: float) -> Document[Any]:
    """The document whose value is the JSON in `encoded`.

    Raises:
        Unavailable: `encoded` is not valid JSON; another program must have written it.
    """
    try:
        return Document(msgspec.json.decode(encoded), revision, by, at)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise damaged(key) from error


def damaged(key: str) -> Unavailable:
    return Unavailable(f"the document {key!r} in the control store is damaged")


def conflict(key: str, stored: int | None, expected: int | None) -> Conflict:
    """The error for a writer that has not seen the latest revision."""
    return Conflict(f"{key!r} is at revision {stored or None}, not {expected}; read it again")
