"""PostgreSQL's binary COPY for columns of numbers: bigint and double precision. It converts whole columns at once.

The layout is in PostgreSQL's manual, "COPY", section "Binary Format": a header, then for each row the number of cells
and for each cell its length and its bytes in big-endian order, then a trailer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mlpatterns.stores.batch import Cells, Kind

__all__ = ["read_binary", "write_binary"]

HEAD, END = b"PGCOPY\n\xff\r\n\0" + bytes(8), b"\xff\xff"
TYPES: dict[str, str] = {"int": ">i8", "float": ">f8"}


def read_binary(data: bytes, kinds: Sequence[Kind]) -> list[Cells] | None:
    """The columns; None if any cell is null or is not a number of 8 bytes."""
    layout = _layout(kinds)
    size = len(data) - len(HEAD) - len(END)
    if not data.startswith(HEAD) or not data.endswith(END) or size < 0 or size % layout.itemsize:
        return None
    rows = np.frombuffer(data, layout, size // layout.itemsize, len(HEAD))
    if (rows["count"] != len(kinds)).any() or any((rows[f"size{n}"] != 8).any() for n in range(len(kinds))):
        return None
    return [rows[f"cell{n}"].astype(TYPES[kind].replace(">", "=")) for n, kind in enumerate(kinds)]


def write_binary(columns: Sequence[Cells], kinds: Sequence[Kind]) -> bytes | None:
    """The rows in binary form; None if a column does not hold numbers of its kind."""
    if any(kind not in TYPES for kind in kinds):
        return None
    arrays = [np.asarray(column) for column in columns]
    if any(
        array.dtype.kind not in ("iu" if kind == "int" else "iuf") for array, kind in zip(arrays, kinds, strict=True)
    ):
        return None
    if any(array.dtype == np.uint64 for array in arrays):
        return None
    rows: Any = np.empty(len(arrays[0]), _layout(kinds))
    rows["count"] = len(kinds)
    for number, array in enumerate(arrays):
        rows[f"size{number}"], rows[f"cell{number}"] = 8, array
    data: bytes = rows.tobytes()
    return HEAD + data + END


def _layout(kinds: Sequence[Kind]) -> np.dtype[Any]:
    cells = [((f"size{n}", ">i4"), (f"cell{n}", TYPES[kind])) for n, kind in enumerate(kinds)]
    return np.dtype([("count", ">i2"), *(part for pair in cells for part in pair)])
