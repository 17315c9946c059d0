"""Rows: how many there are, several requests as one batch, and each request's rows out of the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mlpatterns.errors import InternalError
from mlpatterns.metadata import Array

__all__ = ["batch_size", "check_rows", "read_only", "stack", "unstack"]


def batch_size(inputs: Mapping[str, Array]) -> int:
    """The rows of a request; 1 where nothing has an axis."""
    for value in inputs.values():
        return value.shape[0] if value.ndim else 1
    return 1


def stack(requests: Sequence[Mapping[str, Array]]) -> Mapping[str, Array]:
    """The rows of several requests, one after the other, by input. All must have the same inputs, of the same datatypes
    and sizes but for the first axis: `validate` has seen to it. Nobody can write to them."""
    if len(requests) == 1:
        return requests[0]
    return {name: read_only(np.concatenate([inputs[name] for inputs in requests])) for name in requests[0]}


def unstack(outputs: Mapping[str, Array], sizes: Sequence[int]) -> list[dict[str, Array]]:
    """The outputs for each request of a batch, as views.

    Args:
        sizes: the rows of each request, in the order they were stacked in.

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
    """Every output must have a row for each row of the inputs.

    Raises:
        InternalError: one has not.
    """
    for name, value in outputs.items():
        if not value.ndim or value.shape[0] != rows:
            found = f"{value.shape[0]} rows" if value.ndim else "no batch axis"
            raise InternalError(f"the model gave {found} in output {name!r} for {rows} rows of input")


def read_only(array: Array) -> Array:
    """`array`, if nobody can write to it, or a view that nobody can write to."""
    if not array.flags.writeable:
        return array
    view = array.view()
    view.setflags(write=False)
    return view
