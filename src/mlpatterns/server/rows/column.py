"""A column of a table: its name, the type and shape of its cells, and the array of its values."""

from __future__ import annotations

import msgspec
from msgspec import Struct, ValidationError

from mlpatterns.errors import InvalidInput
from mlpatterns.metadata import DTYPES, Array, TensorSpec
from mlpatterns.server.rows.cells import array_of, element, fits, nested, texts_of, whole
from mlpatterns.server.rows.sentences import expected
from mlpatterns.tensors import allow_missing, may_miss

__all__ = ["InputColumn", "columns_of", "whole_column"]


class InputColumn(Struct, frozen=True):
    """One column.

    Attributes:
        spec: the model input that consists of this column or contains it.
        missing: whether null is accepted; it becomes NaN.
        cell: the shape of one cell; () is a number, a boolean or a text.
    """

    name: str
    spec: TensorSpec
    missing: bool
    cell: tuple[int, ...] = ()

    def array(self, values: list[object], *, alone: bool = False) -> Array:
        """The array of `values`, of the shape [rows, *cell].

        Args:
            alone: whether `values` is one cell. The error text then omits the position of the cell.

        Raises:
            InvalidInput: the values do not fit the column. The text begins with the name of the column.
        """
        depth, datatype = len(self.cell) + 1, self.spec.datatype
        try:
            typed = self._typed(values, depth, alone)
            if datatype == "BYTES":
                array = texts_of(typed, depth, self.name if self.spec.content == "image" else "")
            else:
                array = array_of(typed, datatype)
        except ValidationError as error:
            raise InvalidInput(f"{self.name}{self._error_text(error, alone)}") from None
        except OverflowError:
            raise InvalidInput(f"{self.name} holds a number that does not fit {datatype}") from None
        except ValueError:
            raise InvalidInput(f"{self.name} has lists of different lengths") from None
        if not fits(array.shape[1:], self.cell):
            raise InvalidInput(f"{self.name} has a cell of shape {list(array.shape[1:])}, expected {list(self.cell)}")
        return array

    def _typed(self, values: list[object], depth: int, alone: bool) -> object:
        datatype = self.spec.datatype
        try:
            return msgspec.convert(values, nested(element(datatype, missing=self.missing), depth))
        except ValidationError:
            if DTYPES[datatype].kind not in "iu":
                raise
        loose = msgspec.convert(values, nested(element(datatype, loose=True), depth))
        return [whole(loose[0], self.name)] if alone else whole(loose, self.name)

    def _error_text(self, error: ValidationError, alone: bool) -> str:
        what, _, where = str(error).partition(" - at `$")
        where = where.rstrip("`")
        where = where[where.find("]") + 1 :] if alone else where
        fault = expected(what)
        may = self.spec.datatype.startswith("FP") and "got `null`" in what and not self.cell
        return f"{where}{fault}{allow_missing(self.name) if may else ''}"


def columns_of(spec: TensorSpec) -> tuple[InputColumn, ...]:
    """The columns of an input: one for each field if it is a table with field names, else one for the whole input."""
    if spec.fields and len(spec.shape) == 2:
        return tuple(InputColumn(name, spec, may_miss(spec, name)) for name in spec.fields)
    return (whole_column(spec),)


def whole_column(spec: TensorSpec) -> InputColumn:
    """An input as one column. Its cells are single values if each row has one value, else lists."""
    cell = spec.shape[1:]
    return InputColumn(spec.name, spec, spec.missing, () if cell == (1,) else cell)
