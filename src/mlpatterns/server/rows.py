"""Rows of JSON to an array: what the simple API takes, and the sentence for each way of getting it wrong."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np

from mlpatterns.errors import InvalidInput, TooLarge
from mlpatterns.metadata import DTYPES, Array, TensorSpec
from mlpatterns.oip.raw_tensors import objects
from mlpatterns.oip.wire import MALFORMED, WORDS

__all__ = ["Decode", "decoder_for"]

Decode = Callable[[bytes], Array]

FLOATS = {"FP16", "FP32", "FP64"}
ROW_WORDS = WORDS | {"object | array": "a row", "array | object": "a row"}


@lru_cache(maxsize=256)
def decoder_for(spec: TensorSpec, max_elements: int) -> Decode:
    """The function from a request body to the array of `spec`; it raises InvalidInput or TooLarge."""
    if spec.datatype == "BYTES":
        return TextRows(spec, max_elements)
    if len(spec.shape) == 2 and spec.datatype in FLOATS:
        return FloatRows(spec, max_elements)
    return NestedRows(spec, max_elements)


class FloatRows:
    """`{"data": [[5.1, 3.5, 1.4, 0.2]]}`, or rows by name where the model names its columns."""

    def __init__(self, spec: TensorSpec, max_elements: int) -> None:
        self.dtype = DTYPES[spec.datatype]
        self.width, self.fields, self.max_elements = spec.shape[1], spec.fields, max_elements
        self.most = float(np.finfo(self.dtype).max)
        self.missing = spec.missing
        number: Any = float | None if spec.missing else float
        self._decode = _decoder(list[list[number] | dict[str, Any]])

    def __call__(self, body: bytes) -> Array:
        try:
            rows = self._decode(body).data
        except MALFORMED as error:
            raise InvalidInput(explain(error, self.fields)) from None
        if not rows:
            raise InvalidInput("data must hold at least one row")
        if isinstance(rows[0], dict):
            rows = [self._by_name(row, number) for number, row in enumerate(rows)]
        if len(rows) == 1:
            return self._one(rows[0])
        if dict in set(map(type, rows)):
            number = next(number for number, row in enumerate(rows) if isinstance(row, dict))
            raise InvalidInput(f"data[{number}] is an object, but the first row is a list: use one form for all")
        return self._many(rows)

    def _one(self, row: Any) -> Array:
        if len(row) != self.width:
            self._check_width(row, 0)
        most = self.most
        for value in [number for number in row if number is not None] if self.missing else row:
            if not -most <= value <= most:
                raise InvalidInput(f"data holds {value}, which does not fit a {self.dtype}")
        return np.array((row,), dtype=self.dtype)

    def _many(self, rows: list[Any]) -> Array:
        if len(rows) * max(1, self.width) > self.max_elements:
            raise TooLarge(f"data holds more than {self.max_elements} numbers")
        width = self.width if self.width >= 0 else len(rows[0])
        if set(map(len, rows)) != {width}:
            for number, row in enumerate(rows):
                if len(row) != width:
                    self._check_width(row, number, width)
        exact = np.array(rows, dtype=np.float64)
        if exact.size and _largest(exact) > self.most:
            raise InvalidInput(f"data holds a number that does not fit a {self.dtype}")
        return exact.astype(self.dtype, copy=False)

    def _check_width(self, row: list[float], number: int, width: int | None = None) -> None:
        width = self.width if width is None else width
        if width < 0 and row:
            return
        names = f" ({', '.join(self.fields)})" if self.fields else ""
        raise InvalidInput(f"data[{number}] has {len(row)} values, expected {max(1, width)}{names}")

    def _by_name(self, row: list[float] | dict[str, Any], number: int) -> list[float | None]:
        if not isinstance(row, dict):
            raise InvalidInput(f"data[{number}] is a list, but the first row is an object: use one form for all")
        if not self.fields:
            raise InvalidInput("this model's columns have no names; send rows as lists")
        kind = "a number or null" if self.missing else "a number"
        wrong = [f"{name} must be {kind}" for name in self.fields if name in row and not self._fits(row[name])]
        missing = [name for name in self.fields if name not in row]
        unknown = sorted(str(name)[:64] for name in row if name not in self.fields)
        if missing:
            wrong.append(f"missing {', '.join(missing)}")
        if unknown:
            wrong.append(f"unknown {', '.join(unknown[:20])}")
        if wrong:
            raise InvalidInput(f"data[{number}]: {'; '.join(wrong)}")
        return [None if row[name] is None else float(row[name]) for name in self.fields]

    def _fits(self, value: Any) -> bool:
        if value is None:
            return self.missing
        return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1.8e308


class TextRows:
    """`{"data": "0000"}` or `{"data": ["0000", "0001"]}`: keys, texts, or base64 of images."""

    def __init__(self, spec: TensorSpec, max_elements: int) -> None:
        self.spec, self.max_elements = spec, max_elements
        self._decode = msgspec.json.Decoder(dict[str, Any]).decode
        self._names = ("data", "image_data") if spec.content == "image" else ("data",)

    def __call__(self, body: bytes) -> Array:
        try:
            found = self._decode(body)
        except MALFORMED as error:
            raise InvalidInput(explain(error, ())) from None
        present = [name for name in self._names if name in found]
        if not present:
            raise InvalidInput(f"the body must have the field {' or '.join(self._names)}")
        if len(present) > 1:  # one of them would be ignored, right or wrong
            raise InvalidInput(f"the body must have {' or '.join(self._names)}, not both")
        values = found[present[0]]
        values = [values] if isinstance(values, str) else values
        if not isinstance(values, list) or not values or not all(isinstance(value, str) for value in values):
            raise InvalidInput(f"{present[0]} must be a string, or a list of one or more strings")
        if len(values) > self.max_elements:
            raise TooLarge(f"{present[0]} holds more than {self.max_elements} strings")
        decode = _base64 if self.spec.content == "image" else str.encode
        return objects([decode(value) for value in values]).reshape(len(values), *[1] * (len(self.spec.shape) - 1))


class NestedRows:
    """Any other tensor: nested lists of the declared shape, integers never rounded."""

    def __init__(self, spec: TensorSpec, max_elements: int) -> None:
        self.spec, self.dtype, self.max_elements = spec, DTYPES[spec.datatype], max_elements
        inner: Any = {"f": float, "b": bool}.get(self.dtype.kind, int)
        if spec.missing:
            inner = inner | None
        for _ in spec.shape:
            inner = list[inner]
        self._decode = _decoder(inner)

    def __call__(self, body: bytes) -> Array:
        try:
            data = self._decode(body).data
        except MALFORMED as error:
            raise InvalidInput(explain(error, ())) from None
        try:
            array = np.array(data, dtype=np.float64 if self.dtype.kind == "f" else self.dtype)
        except (ValueError, OverflowError):
            raise InvalidInput(
                f"data must be nested lists of shape {list(self.spec.shape)} within {self.dtype}"
            ) from None
        if array.size > self.max_elements:
            raise TooLarge(f"data holds more than {self.max_elements} numbers")
        wanted = self.spec.shape
        if array.ndim != len(wanted) or any(w not in (-1, n) for w, n in zip(wanted, array.shape, strict=True)):
            raise InvalidInput(f"data has the shape {list(array.shape)}, expected {list(wanted)}")
        if not array.size:
            raise InvalidInput("data must hold at least one row")
        if self.dtype.kind == "f" and _largest(array) > np.finfo(self.dtype).max:
            raise InvalidInput(f"data holds a number that does not fit a {self.dtype}")
        return array.astype(self.dtype, copy=False)


def explain(error: Exception, fields: tuple[str, ...]) -> str:
    """msgspec's words as one sentence, with the column's name where it has one."""
    if isinstance(error, RecursionError):
        return "the JSON is nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return "the body is not UTF-8"
    text = str(error)
    if not isinstance(error, msgspec.ValidationError):
        what = text.removeprefix("JSON is malformed: ")
        return f"the body is not valid JSON: {what[:1].lower()}{what[1:]}"
    if "missing required field" in text:
        return "the body must be an object with the field data"
    what, _, where = text.partition(" - at `$")
    where = where.rstrip("`").lstrip(".").replace("[...]", "a field") or "the body"
    column = re.fullmatch(r"data\[\d+\]\[(\d+)\]", where)
    if column and int(column[1]) < len(fields):
        where += f" ({fields[int(column[1])]})"
    kinds = re.fullmatch(r"Expected `(.+)`, got `(.+)`", what)
    if kinds:
        return f"{where} must be {ROW_WORDS.get(kinds[1], kinds[1])}, not {ROW_WORDS.get(kinds[2], kinds[2])}"
    return f"{where}: {what[:1].lower()}{what[1:]}"


def _decoder(kind: Any) -> Callable[[bytes], Any]:
    """Of an object whose field `data` is of this type."""
    return msgspec.json.Decoder(msgspec.defstruct("Body", [("data", kind)])).decode


def _largest(values: Array) -> float:
    """The largest size of a number in `values`, those that are missing left out."""
    return float(max(np.fmax.reduce(values, axis=None), -np.fmin.reduce(values, axis=None)))


def _base64(text: str) -> bytes:
    import base64
    import binascii

    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidInput("the image is not valid base64") from None
