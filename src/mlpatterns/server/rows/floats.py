"""Decodes rows of floats. This code is written for speed, because most models take such rows."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from mlpatterns.errors import InvalidInput, TooLarge
from mlpatterns.metadata import DTYPES, Array, TensorSpec
from mlpatterns.oip.wire import MALFORMED
from mlpatterns.server.rows.cells import body_decoder, element, largest, most_of
from mlpatterns.server.rows.named import named_of
from mlpatterns.server.rows.sentences import NO_NAMES, SPLIT, explain
from mlpatterns.tensors import allow_missing, full_columns

__all__ = ["FloatRows"]


class FloatRows:
    """Decodes `{"data": [[5.1, 3.5, 1.4, 0.2]]}`, or rows and columns by name if the input can be read by name."""

    def __init__(self, spec: TensorSpec, max_elements: int, *, ignore_extra: bool = False) -> None:
        self.spec, self.dtype, self.max_elements = spec, DTYPES[spec.datatype], max_elements
        self.rows, self.width = spec.shape
        self.fields, self.missing = spec.fields, spec.missing
        self.most = most_of(spec.datatype)
        self.full = full_columns(spec)
        self.named = named_of(spec, max_elements, ignore_extra=ignore_extra)
        self._lists: Any = list[list[element(spec.datatype, missing=spec.missing)]]  # type: ignore[misc]
        row: Any = list[element(spec.datatype, missing=spec.missing)] | dict[str, Any]  # type: ignore[misc]
        self._decode = body_decoder(list[row] | dict[str, Any])

    def __call__(self, body: bytes) -> Array:
        try:
            sent = self._decode(body)
        except MALFORMED as error:
            raise InvalidInput(explain(error, body, self.fields, self.spec.datatype)) from None
        rows = sent.data
        if sent.columns is not None:
            raise InvalidInput(SPLIT)
        if not rows:
            raise InvalidInput("data must hold at least one row")
        if rows.__class__ is dict or rows[0].__class__ is dict:
            if self.named is None:
                raise InvalidInput(NO_NAMES)
            if rows.__class__ is dict:
                return self.named.columns(rows)[self.spec.name]
            rows = self._by_name(rows)
        if self.full or self.rows != -1:
            self._check(rows)
        if len(rows) == 1:
            return self._one(rows[0])
        if dict in set(map(type, rows)):
            number = next(number for number, row in enumerate(rows) if isinstance(row, dict))
            raise InvalidInput(f"data[{number}] is an object, but the first row is a list: use one form for all")
        return self._many(rows)

    def _one(self, row: Any) -> Array:
        if len(row) != self.width:
            self._check_width(row, 0)
        if len(row) > self.max_elements:
            raise self._too_many()
        most = self.most
        for value in [number for number in row if number is not None] if self.missing else row:
            if not -most <= value <= most:
                raise InvalidInput(f"data holds {value}, which does not fit a {self.dtype}")
        return np.array((row,), dtype=self.dtype)

    def _many(self, rows: list[Any]) -> Array:
        width = self.width if self.width >= 0 else len(rows[0])
        if len(rows) * max(1, width) > self.max_elements:
            raise self._too_many()
        if set(map(len, rows)) != {width}:
            for number, row in enumerate(rows):
                if len(row) != width:
                    self._check_width(row, number, width)
        exact = np.array(rows, dtype=np.float64)
        if exact.size and largest(exact) > self.most:
            raise InvalidInput(f"data holds a number that does not fit a {self.dtype}")
        return exact.astype(self.dtype, copy=False)

    def _too_many(self) -> TooLarge:
        return TooLarge(f"data holds more than {self.max_elements} numbers")

    def _check_width(self, row: list[float], number: int, width: int | None = None) -> None:
        width = self.width if width is None else width
        if width < 0 and row:
            return
        names = f" ({', '.join(self.fields)})" if self.fields else ""
        raise InvalidInput(f"data[{number}] has {len(row)} values, expected {max(1, width)}{names}")

    def _check(self, rows: list[Any]) -> None:
        """Checks the number of rows if the model fixes it, and that the columns in `full` have no missing values."""
        if self.rows not in (-1, len(rows)):
            raise InvalidInput(
                f"data has {len(rows)} row{'s'[: len(rows) > 1]}, but the model takes {self.rows} at once"
            )
        for number, row in enumerate(rows):
            for place in self.full:
                if place < len(row) and row[place] is None:
                    name = self.fields[place]
                    raise InvalidInput(f"data[{number}][{place}] ({name}) must be a number, not null"
                                       f"{allow_missing(name)}")  # fmt: skip

    def _by_name(self, rows: list[Any]) -> list[Any]:
        assert self.named is not None
        table = self.named.table
        lists = table.ordered(rows)
        try:
            numbers: list[Any] = msgspec.convert(lists, self._lists)
        except msgspec.ValidationError as error:
            raise table.wrong(rows, str(error)) from None
        if any(row[place] is None for row in numbers for place in self.full):
            raise table.wrong(rows)
        return numbers
