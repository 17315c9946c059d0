"""Arrays of any datatype, as hypothesis draws them."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mlpatterns.metadata import DTYPES

__all__ = ["PLAIN", "arrays", "same"]

PLAIN = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text()


@st.composite
def arrays(draw: st.DrawFn, shape: tuple[int, ...] | None = None, datatype: str | None = None) -> Any:
    """An array of `datatype` and `shape`, or of any."""
    name = datatype or draw(st.sampled_from(sorted(DTYPES)))
    sizes = draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)) if shape is None else shape
    if name != "BYTES":
        dtype = DTYPES[name].newbyteorder(">") if draw(st.booleans()) else DTYPES[name]
        return draw(hnp.arrays(dtype, sizes))
    array = np.empty(sizes, dtype=object)
    for index in np.ndindex(sizes):
        array[index] = draw(st.binary(max_size=5))
    return array


def same(one: Any, other: Any) -> bool:
    """Bit by bit, NaN and the sign of zero included; of either byte order."""
    if one.dtype == object or other.dtype == object:
        return bool(one.dtype == other.dtype and one.shape == other.shape and one.tolist() == other.tolist())
    little = [value.astype(value.dtype.newbyteorder("<")) for value in (one, other)]
    return bool(little[0].dtype == little[1].dtype and one.shape == other.shape
                and little[0].tobytes() == little[1].tobytes())  # fmt: skip
