"""Reads the elements of a constant in an ONNX file, if they can be class names: texts and integers."""

from __future__ import annotations

import struct
from typing import Any

__all__ = ["values_of"]

INT32, INT64, STRING = 6, 7, 8  # TensorProto.DataType
LAYOUTS = {INT32: ("i", 4), INT64: ("q", 8)}


def values_of(tensor: Any) -> list[Any]:
    """The elements in order, as `str` or `int`; empty for other datatypes and for elements in another file."""
    if tensor.data_type == STRING:
        return [text.decode(errors="replace") for text in tensor.string_data]
    if tensor.data_type not in LAYOUTS:
        return []
    if tensor.raw_data:
        letter, size = LAYOUTS[tensor.data_type]
        return list(struct.unpack(f"<{len(tensor.raw_data) // size}{letter}", tensor.raw_data))
    return list(tensor.int64_data if tensor.data_type == INT64 else tensor.int32_data)
