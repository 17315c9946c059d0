"""The JSON of the Open Inference Protocol: its records, its nesting limit, and the error texts for malformed bodies."""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec
import numpy as np
from msgspec import Raw, Struct

from mlpatterns.errors import InvalidInput

__all__ = [
    "MALFORMED",
    "WORDS",
    "OutputHead",
    "RequestHead",
    "ResponseHead",
    "TensorHead",
    "parse",
    "sentence",
    "what_it_is",
]

T = TypeVar("T")

MALFORMED = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""The exceptions that decoding JSON raises."""

BLOCK = 1024 * 1024  # brackets and quotes that `_deeper_than` processes at a time
_KEEP = b'[]{}"'
_DROP = bytes(set(range(256)) - set(_KEEP))
_STEP = bytes.maketrans(_KEEP, b"\x01\xff\x01\xff\x00")  # as int8: 1 opens, -1 closes, 0 is a quote
WORDS = {
    "int": "an integer", "float": "a number", "str": "a string", "bool": "a boolean", "null": "null",
    "array": "a list", "object": "an object", "object | null": "an object", "str | null": "a string",
    "array | null": "a list", "float | null": "a number or null",
    "int | float": "an integer", "bool | int | float": "a boolean",
    "int | null": "an integer", "bool | null": "a boolean",
}  # fmt: skip


_HIGH, _LOW = rb"\\u[dD][89abAB][0-9a-fA-F]{2}", rb"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
# The quantifiers are possessive, so that the engine reads a long text once and never backtracks.
_SOUND = re.compile(rb"(?:[^\\]++|\\[^u]|%b%b|\\u(?![dD][89a-fA-F])[0-9a-fA-F]{4})*+" % (_HIGH, _LOW), re.DOTALL)
_HALF = re.compile(rb"%b|%b" % (_HIGH, _LOW))
_NUMBERS = re.compile(rb"[:\[,]\s*(NaN|-?Infinity)\b")
_FIRST_BYTES = (
    (b"\x1f\x8b", "it is compressed; say so with the header Content-Encoding: gzip"),
    (b"\xef\xbb\xbf", "it begins with a byte order mark; send UTF-8 without one"),
    (b"\xff\xfe", "it is UTF-16; send UTF-8"),
    (b"\xfe\xff", "it is UTF-16; send UTF-8"),
    (b"{'", "it is not JSON: names and texts stand in double quotes"),
)


class TensorHead(Struct):
    """One tensor. `data` is decoded later, after the datatype has been checked."""

    name: str
    shape: list[int]
    datatype: str
    parameters: dict[str, Any] | None = None
    data: Raw = Raw()


class OutputHead(Struct):
    """One output that the client wants."""

    name: str
    parameters: dict[str, Any] | None = None


class RequestHead(Struct):
    """The JSON of a request."""

    inputs: list[TensorHead]
    id: str | None = None
    parameters: dict[str, Any] | None = None
    outputs: list[OutputHead] | None = None


class ResponseHead(Struct):
    """The JSON of an answer."""

    model_name: str
    outputs: list[TensorHead]
    model_version: str | None = None
    id: str | None = None
    parameters: dict[str, Any] | None = None


def parse(decoder: msgspec.json.Decoder[T], text: bytes, what: str, max_nesting: int) -> T:
    """Decodes JSON.

    Args:
        what: the name of `text` in error texts.

    Raises:
        InvalidInput: the text is malformed, does not fit the decoder's type, or is nested deeper than `max_nesting`.
    """
    if text.count(b"[") + text.count(b"{") > max_nesting and _deeper_than(text, max_nesting):
        raise InvalidInput(f"{what} is nested deeper than {max_nesting} levels")
    try:
        return decoder.decode(text)
    except MALFORMED as error:
        raise InvalidInput(f"{what} is not right: {sentence(error, text=text)}") from None


def sentence(error: Exception, root: str = "", text: bytes = b"{}") -> str:
    """The error text for an exception of a decoder.

    Args:
        root: the beginning of the path to the wrong element.
        text: the JSON that the decoder refused.
    """
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return what_it_is(text) or "it is not UTF-8"
    reason, _, path = str(error).partition(" - at `$")
    malformed = not isinstance(error, msgspec.ValidationError)
    reason = (malformed and what_it_is(text)) or reason
    reason = reason.replace("JSON is malformed", "it is not JSON")
    reason = reason.replace("Input data was truncated", "it ends too early")
    reason = re.sub(r"`([^`]*)`", lambda found: WORDS.get(found[1], repr(found[1])), reason)
    where = (root + path.rstrip("`")).lstrip(".")
    reason = f"{reason[:1].lower()}{reason[1:]}"
    if not where:
        return reason
    return f"in {where[:100]}, {reason}" if malformed else f"{reason} at {where[:100]}"


def _deeper_than(text: bytes, most: int) -> bool:
    """Whether lists and objects are nested deeper than `most` levels. Brackets in strings do not count.

    After the escapes are removed, every quote begins or ends a string. Time and memory are linear in the text's size.
    """
    marks = text.replace(b"\\\\", b"").replace(b'\\"', b"").translate(_STEP, _DROP)
    depth = quotes = 0
    for start in range(0, len(marks), BLOCK):
        steps = np.frombuffer(marks, dtype=np.int8, count=min(BLOCK, len(marks) - start), offset=start)
        inside = np.cumsum(steps == 0, dtype=np.int32) + quotes
        depths = np.cumsum(np.where(inside & 1, 0, steps), dtype=np.int32) + depth
        if depths.max() > most:
            return True
        depth, quotes = int(depths[-1]), int(inside[-1] & 1)
    return False


def what_it_is(text: bytes) -> str | None:
    """The reason why a decoder refused `text`, if it is a common one; else None, and the decoder's own text is used."""
    if not text.strip():
        return "it is empty"
    for first, words in _FIRST_BYTES:
        if text.startswith(first):
            return words
    number = _NUMBERS.search(text)
    if number is not None:
        return f"it is not JSON, which has no {number[1].decode()}; send such numbers as binary data"
    sound = _SOUND.match(text)
    half = _HALF.match(text, sound.end()) if sound is not None else None
    if half is None:
        return None
    return f"it has {half[0].decode()}, half of a surrogate pair, which is not a character"
