"""Decodes the numbers and booleans that `floats` does not: nested lists of the declared shape. Integers stay exact."""

from __future__ import annotations

from typing import Any

import msgspec

from mlpatterns.errors import InvalidInput, TooLarge
from mlpatterns.metadata import DTYPES, Array, TensorSpec
from mlpatterns.oip.wire import MALFORMED
from mlpatterns.server.rows.cells import array_of, body_decoder, element, fits, nested, whole
from mlpatterns.server.rows.named import named_of
from mlpatterns.server.rows.sentences import SPLIT, explain

__all__ = ["NestedRows"]


class NestedRows:
    """Decodes `{"data": [[[0.5, 1], [0, 1]]]}`, or rows and columns by name if the input can be read by name."""

    def __init__(self, spec: TensorSpec, max_elements: int, *, ignore_extra: bool = False) -> None:
        self.spec, self.dtype, self.max_elements = spec, DTYPES[spec.datatype], max_elements
        self.named = named_of(spec, max_elements, ignore_extra=ignore_extra)
        self._decode = body_decoder(nested(element(spec.datatype, missing=spec.missing), len(spec.shape)))
        self._loose = body_decoder(Any)

    def __call__(self, body: bytes) -> Array:
        try:
            sent = self._decode(body)
        except MALFORMED as error:
            return self._otherwise(body, error)
        if sent.columns is not None:
            raise InvalidInput(SPLIT)
        return self._array(sent.data)

    def _otherwise(self, body: bytes, error: Exception) -> Array:
        """Decodes rows or columns by name, or integers written as 3.0.

        Raises:
            InvalidInput: the body is none of these. The error text explains `error`.
        """
        if isinstance(error, msgspec.ValidationError):
            try:
                data = self._loose(body).data
            except MALFORMED as worse:
                error, data = worse, None
            if self.named is not None and isinstance(data, dict):
                return self.named.columns(data)[self.spec.name]
            if self.named is not None and isinstance(data, list) and data and isinstance(data[0], dict):
                return self.named.rows(data)[self.spec.name]
            if self.dtype.kind in "iu" and data is not None and _is_nested(data, len(self.spec.shape)):
                return self._array(whole(data, "data"))
        raise InvalidInput(explain(error, body, self.spec.fields, self.spec.datatype)) from None

    def _array(self, data: Any) -> Array:
        wanted = self.spec.shape
        try:
            array = array_of(data, self.spec.datatype)
        except OverflowError:
            raise InvalidInput(f"data holds a number that does not fit a {self.dtype}") from None
        except ValueError:
            raise InvalidInput(f"data has lists of different lengths, expected the shape {list(wanted)}") from None
        if array.size > self.max_elements:
            raise TooLarge(f"data holds more than {self.max_elements} numbers")
        if not array.size:
            raise InvalidInput("data must hold at least one row")
        if not fits(array.shape, wanted):
            raise InvalidInput(f"data has the shape {list(array.shape)}, expected {list(wanted)}")
        return array


def _is_nested(data: Any, depth: int) -> bool:
    """Whether `data` is `depth` nested lists of numbers."""
    try:
        msgspec.convert(data, nested(element("INT64", loose=True), depth))
    except msgspec.ValidationError:
        return False
    return True
