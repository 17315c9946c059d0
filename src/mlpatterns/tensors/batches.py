"""Batches: counts rows, stacks several requests into one batch, and splits the outputs by request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mlpatterns.errors import InternalError
from mlpatterns.metadata import Array

__all__ = ["batch_size", "check_rows", "read_only", "stack", "unstack"]


def batch_size(inputs: Mapping[str, Array]) -> int:
    """The number of rows of a request, from its first input; 1 if that input is a scalar or there is no input."""
    for value in inputs.values():
        return value.shape[0] if value.ndim else 1
    return 1


def stack(requests: Sequence[Mapping[str, Array]]) -> Mapping[str, Array]:
    """The rows of several requests, concatenated for each input; the new arrays are read-only. All requests must have
    the same inputs, with the same datatypes, and the same sizes except the first axis: `validate` has checked this."""
    if len(requests) == 1:
        return requests[0]
    return {name: read_only(np.concatenate([inputs[name] for inputs in requests])) for name in requests[0]}


def unstack(outputs: Mapping[str, Array], sizes: Sequence[int]) -> list[dict[str, Array]]:
    """The outputs for each request of a batch, as views.

    Args:
        sizes: the number of rows of each request, in the order of `stack`.

    Raises:
        InternalError: an output does not have a row for each row of the batch.
    """
    check_rows(outputs, sum(sizes))
    ends = np.cumsum(sizes).tolist()
    return [
        {name: value[end - size : end] for name, value in outputs.items()}
        for size, end in zip(sizes, ends, strict=True)
    ]


def check_rows(outputs: Mapping[str, Array], rows: int) -> None:
    """Checks that every output has one row for each input row.

    Raises:
        InternalError: an output has another number of rows, or no batch axis.
    """
    for name, value in outputs.items():
        if not value.ndim or value.shape[0] != rows:
            found = f"{value.shape[0]} rows" if value.ndim else "no batch axis"
            raise InternalError(f"the model gave {found} in output {name!r} for {rows} rows of input")


def read_only(array: Array) -> Array:
    """`array` itself if it is read-only, else a read-only view."""
    if not array.flags.writeable:
        return array
    view = array.view()
    view.setflags(write=False)
    return view
