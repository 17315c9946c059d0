"""Decodes keys, texts and images. Each row is a string, or a list of strings if it has several."""

from __future__ import annotations

from typing import Any

import msgspec

from mlpatterns.errors import InvalidInput, TooLarge
from mlpatterns.metadata import Array, TensorSpec
from mlpatterns.oip.wire import MALFORMED
from mlpatterns.server.rows.cells import fits, nested, texts_of
from mlpatterns.server.rows.named import named_of
from mlpatterns.server.rows.sentences import NO_NAMES, SPLIT, explain, place

__all__ = ["TextRows"]


class TextRows:
    """Decodes `{"data": "0000"}` or `{"data": ["0000", "0001"]}`: keys, texts, or images in base64.

    If a row has several strings, it decodes `{"data": [["m", "tokyo"]]}`, or rows by name if the columns have names.
    """

    def __init__(self, spec: TensorSpec, max_elements: int, *, ignore_extra: bool = False) -> None:
        self.spec, self.max_elements = spec, max_elements
        self.flat = all(size in (-1, 1) for size in spec.shape[1:])  # whether a row may be a string instead of a list
        self.named = named_of(spec, max_elements, ignore_extra=ignore_extra)
        self._decode = msgspec.json.Decoder(dict[str, Any]).decode
        self._names = ("data", "image_data") if spec.content == "image" else ("data",)

    def __call__(self, body: bytes) -> Array:
        try:
            found = self._decode(body)
        except MALFORMED as error:
            raise InvalidInput(explain(error, body)) from None
        present = [name for name in self._names if name in found]
        if not present:
            raise InvalidInput(f"the body must have the field {' or '.join(self._names)}")
        if len(present) > 1:  # otherwise one of them would be ignored
            raise InvalidInput(f"the body must have {' or '.join(self._names)}, not both")
        if "columns" in found:
            raise InvalidInput(SPLIT)
        values = found[present[0]]
        if isinstance(values, dict) or (isinstance(values, list) and values and isinstance(values[0], dict)):
            return self._by_name(values)
        return self._by_position(present[0], values)

    def _by_name(self, values: Any) -> Array:
        if self.named is None:
            raise InvalidInput(NO_NAMES)
        read: Any = self.named.columns if isinstance(values, dict) else self.named.rows
        found: Array = read(values)[self.spec.name]
        return found

    def _by_position(self, name: str, values: Any) -> Array:
        rank, image = len(self.spec.shape), "image" if self.spec.content == "image" else ""
        values = [values] if isinstance(values, str) and self.flat else values
        if self.flat and isinstance(values, list) and values and all(isinstance(value, str) for value in values):
            self._check_size(name, len(values))
            array = texts_of(values, 1, image).reshape(len(values), *[1] * (rank - 1))
        else:
            array = self._nested(name, values, rank, image)
        array = array.reshape(()) if not rank and array.size == 1 else array
        if not fits(array.shape, self.spec.shape):
            raise InvalidInput(f"{name} has the shape {list(array.shape)}, expected {list(self.spec.shape)}")
        return array

    def _nested(self, name: str, values: Any, rank: int, image: str) -> Array:
        try:
            array = texts_of(msgspec.convert(values, nested(str, rank)), rank, image)
        except msgspec.ValidationError as error:
            if self.flat:
                raise InvalidInput(f"{name} must be a string, or a list of one or more strings") from None
            raise InvalidInput(place(error, name, self.spec.fields)) from None
        except ValueError:
            raise InvalidInput(f"{name} has lists of different lengths") from None
        if not array.size:
            raise InvalidInput(f"{name} must hold at least one string")
        self._check_size(name, array.size)
        return array

    def _check_size(self, name: str, size: int) -> None:
        if size > self.max_elements:
            raise TooLarge(f"{name} holds more than {self.max_elements} strings")
