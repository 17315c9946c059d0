"""The JSON of the Open Inference Protocol: its records, its depth, and the sentence for what is wrong."""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec
import numpy as np
from msgspec import Raw, Struct

from mlpatterns.errors import InvalidInput

__all__ = ["MALFORMED", "WORDS", "OutputHead", "RequestHead", "ResponseHead", "TensorHead", "parse", "sentence"]

T = TypeVar("T")

MALFORMED = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What decoding JSON raises."""

BLOCK = 1024 * 1024  # bytes whose nesting is counted at a time
_KEEP = b'[]{}"'
_DROP = bytes(set(range(256)) - set(_KEEP))
_STEP = bytes.maketrans(_KEEP, b"\x01\xff\x01\xff\x00")  # as int8: one deeper, one back; 0 marks a quote
WORDS = {
    "int": "an integer", "float": "a number", "str": "a string", "bool": "a boolean", "null": "null",
    "array": "a list", "object": "an object", "object | null": "an object", "str | null": "a string",
    "array | null": "a list", "float | null": "a number or null",
    "int | null": "an integer", "bool | null": "a boolean",
}  # fmt: skip


class TensorHead(Struct):
    """One tensor; `data` is kept as JSON until its datatype is known to be right."""

    name: str
    shape: list[int]
    datatype: str
    parameters: dict[str, Any] | None = None
    data: Raw = Raw()


class OutputHead(Struct):
    """One output that is asked for."""

    name: str
    parameters: dict[str, Any] | None = None


class RequestHead(Struct):
    inputs: list[TensorHead]
    id: str | None = None
    parameters: dict[str, Any] | None = None
    outputs: list[OutputHead] | None = None


class ResponseHead(Struct):
    model_name: str
    outputs: list[TensorHead]
    model_version: str | None = None
    id: str | None = None
    parameters: dict[str, Any] | None = None


def parse(decoder: msgspec.json.Decoder[T], text: bytes, what: str, max_nesting: int) -> T:
    """Decodes `text`, which an error calls `what`.

    Raises:
        InvalidInput: it is malformed, of another form, or nested deeper than `max_nesting`.
    """
    if text.count(b"[") + text.count(b"{") > max_nesting and _deeper_than(text, max_nesting):
        raise InvalidInput(f"{what} is nested deeper than {max_nesting} levels")
    try:
        return decoder.decode(text)
    except MALFORMED as error:
        raise InvalidInput(f"{what} is not right: {sentence(error)}") from None


def sentence(error: Exception, root: str = "") -> str:
    """What a decoder says of JSON, in plain words; `root` is what a path in it starts from."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8"
    text, _, path = str(error).partition(" - at `$")
    text = text.replace("JSON is malformed", "it is not JSON").replace("Input data was truncated", "it ends too early")
    text = re.sub(r"`([^`]*)`", lambda found: WORDS.get(found[1], repr(found[1])), text)
    where = (root + path.rstrip("`")).lstrip(".")
    return f"{text[:1].lower()}{text[1:]}{f' at {where[:100]}' if where else ''}"


def _deeper_than(text: bytes, most: int) -> bool:
    """Whether lists and objects are nested deeper than `most`, brackets within strings not counted.

    Once escapes are gone every quote opens or closes a string. Linear in time, and in memory about the text's size.
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
