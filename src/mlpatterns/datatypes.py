"""The tensor datatypes of the Open Inference Protocol, and the numpy dtype of each."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from mlpatterns.errors import UserError

__all__ = ["DTYPES", "datatype_of"]

DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype("<u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("<i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    "BYTES": np.dtype(object),
}
"""Little-endian, as the protocol sends them; BYTES is an object array of ``bytes``."""

_NAMES = {dtype: name for name, dtype in DTYPES.items()}


def datatype_of(dtype: DTypeLike) -> str:
    """The protocol's name of a numpy dtype of either byte order; strings and objects are BYTES.

    Raises:
        UserError: if the protocol has no such datatype (complex numbers, dates).
    """
    known = np.dtype(dtype)
    name = _NAMES.get(known) or _NAMES.get(known.newbyteorder("<"))
    if name is None and known.kind in "SU":
        return "BYTES"
    if name is None:
        raise UserError(f"arrays of {known} have no datatype in the Open Inference Protocol; use {', '.join(DTYPES)}")
    return name
