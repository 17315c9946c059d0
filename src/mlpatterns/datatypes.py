"""The Open Inference Protocol's datatypes and numpy's: one table, read both ways."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from mlpatterns.errors import UserError

__all__ = ["DTYPES", "datatype_of"]

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
