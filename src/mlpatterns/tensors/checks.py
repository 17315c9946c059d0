"""Checks whether inputs fit a model. A request is checked once, where it enters; the error text names the input."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from mlpatterns.errors import InvalidInput
from mlpatterns.metadata import Array, TensorSpec, datatype_of
from mlpatterns.redaction import quoted
from mlpatterns.user_errors import UserError

__all__ = ["finite", "validate", "validate_heads"]


class Head(Protocol):
    """The name, datatype and shape of a tensor, known before its elements are read."""

    @property
    def name(self) -> str: ...
    @property
    def datatype(self) -> str: ...
    @property
    def shape(self) -> Sequence[int]: ...


class _Head(NamedTuple):
    name: str
    datatype: str
    shape: Sequence[int]


def validate(inputs: Mapping[str, Array], specs: Sequence[TensorSpec], max_batch_size: int | None = None) -> None:
    """Checks names, datatypes, ranks and sizes, and that all inputs with a batch axis have the same number of rows.

    NaN is allowed everywhere: it is a value of a float datatype, and it stands for a missing value.

    Args:
        specs: the inputs of the model. All must be present, except optional ones. An axis of -1 accepts any size; if it
            is the first axis, it is the batch axis.
        max_batch_size: the most rows that one request may have. (default: no limit)

    Raises:
        InvalidInput: `inputs` do not fit the model.
    """
    validate_heads([_head(name, array) for name, array in inputs.items()], specs, max_batch_size)


def validate_heads(heads: Iterable[Head], specs: Sequence[TensorSpec], max_batch_size: int | None = None) -> None:
    """As `validate`, for inputs whose elements have not been read yet."""
    known = {spec.name: spec for spec in specs}
    given: set[str] = set()
    first: tuple[str, int] | None = None  # the first input with a batch axis, and its number of rows
    for head in heads:
        spec = known.get(head.name)
        if spec is None:
            raise InvalidInput(f"there is no input {quoted(head.name)}; the model takes {', '.join(known)}")
        given.add(head.name)
        if not _fits(head, spec):
            raise _unfit(head, spec)
        if spec.shape[:1] != (-1,):
            continue
        rows = head.shape[0]
        if first is None:
            first = head.name, rows
        elif rows != first[1]:
            raise InvalidInput(
                f"input {quoted(head.name)} has {rows} rows, but input {quoted(first[0])} has {first[1]}; "
                "all must have the same number"
            )
    if len(given) < len(known):
        absent = [name for name, spec in known.items() if name not in given and not spec.optional]
        if absent:
            raise InvalidInput(f"missing input {', '.join(map(repr, absent))}")
    if max_batch_size is not None and first is not None and first[1] > max_batch_size:
        raise InvalidInput(
            f"input {quoted(first[0])} has {first[1]} rows, but the model takes at most {max_batch_size} in one request"
        )


def _fits(head: Head, spec: TensorSpec) -> bool:
    fits = head.datatype == spec.datatype and len(head.shape) == len(spec.shape)
    for size, wanted in zip(head.shape, spec.shape, strict=False):
        fits = fits and wanted in (size, -1)
    return fits


def _unfit(head: Head, spec: TensorSpec) -> InvalidInput:
    what = f"input {quoted(head.name)}"
    if head.datatype != spec.datatype:
        return InvalidInput(f"{what} has datatype {quoted(head.datatype)}, but the model has {spec.datatype}")
    return InvalidInput(f"{what} has shape {str(list(head.shape))[:100]}, but the model has {list(spec.shape)}")


def _head(name: str, array: Array) -> Head:
    try:
        return _Head(name, datatype_of(array.dtype), array.shape)
    except UserError:
        raise InvalidInput(f"input {quoted(name)} has no datatype of the Open Inference Protocol") from None


def finite(outputs: Mapping[str, Array]) -> bool:
    """Whether no output contains NaN or infinity."""
    return all(np.isfinite(value).all() for value in outputs.values() if value.dtype.kind == "f")
