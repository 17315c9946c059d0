"""Reads the tensors of a REST body, as JSON or raw. gRPC shares its checks of names, datatypes and shapes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from math import prod

import numpy as np

from mlpatterns.errors import InvalidInput, TooLarge
from mlpatterns.metadata import DTYPES, Array, ModelMetadata, TensorSpec
from mlpatterns.oip.json_tensors import from_json
from mlpatterns.oip.limits import RequestLimits
from mlpatterns.oip.raw_tensors import from_bytes
from mlpatterns.oip.wire import TensorHead
from mlpatterns.redaction import quoted
from mlpatterns.tensors import allow_missing, full_columns, validate_heads

__all__ = ["SIZE", "check_heads", "no_data", "read_tensors"]

SIZE = "binary_data_size"
MOST = 2**63 - 1  # the most elements that a signed 64-bit integer can count


def read_tensors(
    kind: str,
    heads: Sequence[TensorHead],
    body: bytes,
    offset: int | None,
    limits: RequestLimits,
    metadata: ModelMetadata | None = None,
) -> dict[str, Array]:
    """The arrays of `heads` by name.

    Args:
        kind: the word for the tensors in error texts, ``input`` or ``output``.
        body: the body. Its raw tensors follow its JSON, in the order of `heads`.
        offset: the position in `body` where the raw tensors begin; None if there are none.
        metadata: the model's metadata; None accepts tensors of any name, datatype and shape.

    Returns:
        read-only arrays with the shapes of `heads`. The arrays of raw tensors are views of `body` if their alignment
        allows it.

    Raises:
        InvalidInput: a tensor's data does not fit its shape and datatype, or the tensor does not fit `metadata`.
        TooLarge: a tensor has more elements than `limits` allow.
    """
    found = check_heads(kind, heads, limits, metadata)
    specs = {spec.name: spec for spec in metadata.inputs} if metadata else {}
    arrays: dict[str, Array] = {}
    for head, (what, count) in zip(heads, found, strict=True):
        size = _size(what, head)
        if size is None or (size == 0 and _given(head)):
            if not _given(head):
                raise no_data(what, head.parameters or (), f"data nor a {SIZE}")
            array = _from_json(what, head, count, specs.get(head.name))
        elif size == 0:  # the tensor has no bytes in the body, so the length of the JSON need not be known
            array = from_bytes(what, head.datatype, head.shape, count, body, 0, 0)
        else:
            offset = _raw_end(what, head, size, body, offset)
            array = from_bytes(what, head.datatype, head.shape, count, body, offset - size, size)
        array.setflags(write=False)
        arrays[head.name] = array
    if offset is not None and offset != len(body):
        raise InvalidInput(f"{len(body) - offset} bytes follow the last tensor; each must belong to one")
    return arrays


def _from_json(what: str, head: TensorHead, count: int, spec: TensorSpec | None) -> Array:
    """Reads the JSON data of a tensor. Null is allowed in the columns in which the model accepts missing values."""
    data, nullable = bytes(head.data), spec is not None and spec.missing
    try:
        array = from_json(what, head.datatype, tuple(head.shape), count, data, nullable)
    except InvalidInput as error:
        if spec is None or nullable or not head.datatype.startswith("FP") or b"null" not in data:
            raise
        raise InvalidInput(f"{error}{allow_missing('COLUMN')}") from None
    full = full_columns(spec) if spec is not None and array.shape[-1:] == (len(spec.fields),) else []
    if spec is not None and full and np.isnan(array[..., full]).any():
        row, place = (int(found[0]) for found in np.nonzero(np.isnan(array[..., full]).reshape(-1, len(full))))
        name = spec.fields[full[place]]
        raise InvalidInput(f"{what}: {quoted(name)} of row {row} must be a number, not null{allow_missing(name)}")
    return array


def check_heads(
    kind: str, heads: Sequence[TensorHead], limits: RequestLimits, metadata: ModelMetadata | None = None
) -> list[tuple[str, int]]:
    """Checks names, datatypes and shapes before any data is read. The arguments are those of `read_tensors`.

    Returns:
        for each tensor its name in error texts, and its number of elements.

    Raises:
        InvalidInput, TooLarge: as in `read_tensors`.
    """
    found: dict[str, tuple[str, int]] = {}
    for head in heads:
        what = f"{kind} {quoted(head.name)}"
        if head.name in found:
            raise InvalidInput(f"{what} is given twice")
        found[head.name] = what, _elements(what, head.shape, limits)
        if metadata is None and head.datatype not in DTYPES:
            raise InvalidInput(f"{what} has an unknown datatype {quoted(head.datatype)}")
    if metadata is not None:
        validate_heads(heads, metadata.inputs, metadata.max_batch_size)
    return list(found.values())


def _elements(what: str, shape: Sequence[int], limits: RequestLimits) -> int:
    """Checks the size of `shape`, and returns its number of elements. In the check, an axis of size 0 counts as 1,
    because empty lists need memory too."""
    if len(shape) > limits.max_rank:
        raise InvalidInput(f"{what} has {len(shape)} dimensions; at most {limits.max_rank} are accepted")
    if shape and min(shape) < 0:
        raise InvalidInput(f"{what} has a negative dimension in its shape")
    count = prod(shape)
    most = count or prod(size or 1 for size in shape)
    if most > MOST:
        raise InvalidInput(f"{what} has a shape with more elements than 64 bits can count")
    if most > limits.max_elements:
        raise TooLarge(f"{what} has more than the {limits.max_elements} elements that are accepted")
    return count


def no_data(what: str, parameters: Collection[str], neither: str) -> InvalidInput:
    """The error for a tensor without data.

    Args:
        neither: the forms of data that it could have, e.g. "data nor raw contents".
    """
    if "shared_memory_region" in parameters:
        return InvalidInput(f"{what} is in shared memory, which this server does not offer; send its data")
    return InvalidInput(f"{what} has neither {neither}")


def _size(what: str, head: TensorHead) -> int | None:
    """The number of raw bytes of the tensor, from its parameter `binary_data_size`; None without this parameter."""
    size = (head.parameters or {}).get(SIZE)
    if size is not None and (type(size) is not int or size < 0):
        raise InvalidInput(f"{what}: {SIZE} must be a whole number of bytes, 0 or more")
    return size


def _raw_end(what: str, head: TensorHead, size: int, body: bytes, offset: int | None) -> int:
    """The position in `body` at which the raw tensor that begins at `offset` ends."""
    if offset is None:
        raise InvalidInput(f"{what} has a {SIZE}, but the header Inference-Header-Content-Length is missing")
    if _given(head):
        raise InvalidInput(f"{what} has both data and a {SIZE}; send one of them")
    if offset + size > len(body):
        raise InvalidInput(f"{what}: {SIZE} is larger than the rest of the body")
    return offset + size


def _given(head: TensorHead) -> bool:
    """Whether the tensor has JSON data. Null counts as no data."""
    return bytes(memoryview(head.data)[:4]) not in (b"", b"null")
