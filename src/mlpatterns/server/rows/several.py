"""Decodes the rows of a model with several inputs: by name, or by position if each cell is a single value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mlpatterns.errors import InvalidInput
from mlpatterns.metadata import Array, TensorSpec
from mlpatterns.oip.wire import MALFORMED
from mlpatterns.server.rows.cells import body_decoder
from mlpatterns.server.rows.named import Named
from mlpatterns.server.rows.sentences import SPLIT, explain

__all__ = ["NamedOrNot", "SeveralInputs"]


class SeveralInputs:
    """Decodes `{"data": [{"age": 22, "sex": "m"}]}`, `{"data": {"age": [22, 30], "sex": ["m", "f"]}}` or
    `{"data": [[22, "m"]]}`."""

    def __init__(self, specs: Sequence[TensorSpec], max_elements: int, *, ignore_extra: bool = False) -> None:
        self.named = Named(specs, max_elements, ignore_extra=ignore_extra)
        self._decode = body_decoder(list[Any] | dict[str, Any])

    def __call__(self, body: bytes) -> dict[str, Array]:
        try:
            sent = self._decode(body)
        except MALFORMED as error:
            raise InvalidInput(explain(error, body)) from None
        if sent.columns is not None:
            raise InvalidInput(SPLIT)
        if isinstance(sent.data, dict):
            return self.named.columns(sent.data)
        if not sent.data:
            raise InvalidInput("data must hold at least one row")
        return self.named.rows(sent.data if isinstance(sent.data[0], dict) else self._named(sent.data))

    def _named(self, rows: list[Any]) -> list[dict[str, Any]]:
        """Converts rows by position to rows by name.

        Raises:
            InvalidInput: a row is no list or has a wrong length, or this model takes rows by name only.
        """
        columns = self.named.table.columns
        if isinstance(rows[0], list) and len(rows[0]) != len(columns):  # the rows omit the optional columns
            columns = self.named.table.sent(())
        names = [column.name for column in columns]
        if any(column.cell or not column.spec.shape for column in columns):
            raise InvalidInput(f"send rows by name: this model's inputs are {', '.join(names)}")
        for number, row in enumerate(rows):
            if not isinstance(row, list):
                kind = "an object, but the first row is a list: use one form for all"
                fault = f"is {kind}" if isinstance(row, dict) else f"must be a row of {', '.join(names)}"
                raise InvalidInput(f"data[{number}] {fault}")
            if len(row) != len(names):
                raise InvalidInput(f"data[{number}] has {len(row)} values, expected {len(names)} ({', '.join(names)})")
        return [dict(zip(names, row, strict=True)) for row in rows]


class NamedOrNot:
    """Decodes the rows of a model with one required input. Its other inputs have default values.

    Rows by name may contain any input. All other bodies are rows of the required input, which `one` decodes.
    """

    def __init__(self, several: SeveralInputs, name: str, one: Callable[[bytes], Array]) -> None:
        self.several, self.name, self.one = several, name, one
        self._decode = body_decoder(Any)

    def __call__(self, body: bytes) -> dict[str, Array]:
        try:
            data = self._decode(body).data
        except MALFORMED:
            data = None  # `one` raises the error for this body
        first = data[0] if isinstance(data, list) and data else data
        return self.several(body) if isinstance(first, dict) else {self.name: self.one(body)}
