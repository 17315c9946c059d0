"""What a model takes and gives: tensors by name, their datatypes in the Open Inference Protocol's words and in numpy's.

Arrays travel by name. Their first axis is the batch; a tensor of datatype BYTES is an object array of ``bytes``. Inputs
are read-only.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from msgspec import Struct

from mlpatterns.errors import InvalidSpec, UserError

__all__ = ["DTYPES", "Array", "ModelMetadata", "TensorSpec", "datatype_of"]

Array = np.ndarray[Any, np.dtype[Any]]


class TensorSpec(Struct, frozen=True):
    """One input or output of a model.

    Attributes:
        datatype: a name of the Open Inference Protocol: BOOL, UINT8 … UINT64, INT8 … INT64, FP16, FP32, FP64, BYTES.
        shape: sizes by axis, the batch first; -1 is variable.
        content: what the elements mean; it decides how the simple API decodes them.
        fields: the column names of the last axis, or nothing.
        missing: whether null is accepted, which becomes NaN.
        missing_fields: the columns in which it is accepted; empty with `missing` is all of them.
        optional: of an input: whether it may be left out, since the model has a value of its own.

    Raises:
        InvalidSpec: at construction: it describes no tensor.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    content: Literal["tensor", "image", "key", "text"] = "tensor"
    fields: tuple[str, ...] = ()
    missing: bool = False
    missing_fields: tuple[str, ...] = ()
    optional: bool = False

    def __post_init__(self) -> None:
        if not self.name:
            raise InvalidSpec("a tensor needs a name")
        if self.datatype not in DTYPES:
            raise InvalidSpec(f"tensor {self.name!r}: there is no datatype {self.datatype!r}; use {', '.join(DTYPES)}")
        if any(type(size) is not int or size < -1 for size in self.shape):
            raise InvalidSpec(
                f"tensor {self.name!r}: the shape {self.shape} must hold whole numbers, -1 for a free axis"
            )
        if self.fields and self.shape and self.shape[-1] not in (-1, len(self.fields)):
            raise InvalidSpec(f"tensor {self.name!r} has {len(self.fields)} column names for {self.shape[-1]} columns")
        if self.missing and not self.datatype.startswith("FP"):
            raise InvalidSpec(f"tensor {self.name!r}: only FP16, FP32 and FP64 have a NaN for missing values")
        if self.missing_fields and not (self.missing and {*self.missing_fields} <= {*self.fields}):
            raise InvalidSpec(f"tensor {self.name!r}: missing_fields are columns, of a tensor with missing=True")


class ModelMetadata(Struct, frozen=True):
    """What a predictor takes and gives.

    Attributes:
        primary_output: the output that the simple API answers with.
        labels: class names by index, or nothing.
        sample: inputs by name that can be predicted, or None.
        max_batch_size: rows that one request may have, or None where there is no bound.
        threshold: where one score has two labels: above it, it is the second.
    """

    name: str
    version: str
    platform: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    primary_output: str
    labels: tuple[str, ...] = ()
    sample: Mapping[str, Array] | None = None
    max_batch_size: int | None = None
    threshold: float | None = None


DTYPES: Mapping[str, np.dtype[Any]] = MappingProxyType(
    {
        "BOOL": np.dtype(np.bool_),
        "UINT8": np.dtype(np.uint8),
        "UINT16": np.dtype(np.uint16),
        "UINT32": np.dtype(np.uint32),
        "UINT64": np.dtype(np.uint64),
        "INT8": np.dtype(np.int8),
        "INT16": np.dtype(np.int16),
        "INT32": np.dtype(np.int32),
        "INT64": np.dtype(np.int64),
        "FP16": np.dtype(np.float16),
        "FP32": np.dtype(np.float32),
        "FP64": np.dtype(np.float64),
        "BYTES": np.dtype(object),
    }
)
_NAMES = {dtype: name for name, dtype in DTYPES.items()}


def datatype_of(dtype: np.dtype[Any]) -> str:
    """The protocol's name of a numpy dtype, of either byte order; text and bytes of any length are BYTES.

    Raises:
        UserError: if the protocol has no name for it (complex numbers, dates).
    """
    if dtype.kind in "SU":
        return "BYTES"
    name = _NAMES.get(dtype.newbyteorder("="))
    if name is None:
        raise UserError(f"arrays of {dtype} cannot be served; convert them to one of {', '.join(DTYPES)}")
    return name
