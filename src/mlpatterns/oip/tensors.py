"""What both forms of a tensor share: names, datatypes, shapes and sizes are checked here before anything is read."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from math import prod

import numpy as np

from mlpatterns.errors import InvalidInput, TooLarge
from mlpatterns.metadata import DTYPES, Array, ModelMetadata, TensorSpec
from mlpatterns.oip.json_tensors import from_json
from mlpatterns.oip.limits import Limits
from mlpatterns.oip.raw_tensors import from_bytes
from mlpatterns.oip.wire import TensorHead
from mlpatterns.redaction import quoted
from mlpatterns.tensors import allow_missing, full_columns, validate_heads

__all__ = ["SIZE", "absent", "check_heads", "read_tensors"]

SIZE = "binary_data_size"
MOST = 2**63 - 1  # elements of a tensor that anybody can count


def read_tensors(
    kind: str,
    heads: Sequence[TensorHead],
    body: bytes,
    offset: int | None,
    limits: Limits,
    metadata: ModelMetadata | None = None,
) -> dict[str, Array]:
    """The arrays of `heads` by name.

    Args:
        kind: what a sentence calls them: input or output.
        body: holds the raw tensors from `offset` on, in the order of `heads`; offset None means that there are none.
        metadata: of the model that takes them, or None to take what comes.

    Returns:
        arrays in the shapes of `heads`, which nobody can write to; raw ones are views of `body` wherever its alignment
        allows.

    Raises:
        InvalidInput: a tensor is not what it says, or not what the model takes.
        TooLarge: a tensor has more elements than `limits` allow.
    """
    found = check_heads(kind, heads, limits, metadata)
    specs = {spec.name: spec for spec in metadata.inputs} if metadata else {}
    arrays: dict[str, Array] = {}
    for head, (what, count) in zip(heads, found, strict=True):
        size = _size(what, head)
        if size is None or (size == 0 and _given(head)):
            if not _given(head):
                raise absent(what, head.parameters or (), f"data nor a {SIZE}")
            array = _from_json(what, head, count, specs.get(head.name))
        elif size == 0:  # nothing follows the JSON, so that its length need not be known
            array = from_bytes(what, head.datatype, head.shape, count, body, 0, 0)
        else:
            offset = _raw_end(what, head, size, body, offset)
            array = from_bytes(what, head.datatype, head.shape, count, body, offset - size, size)
        array.setflags(write=False)
        arrays[head.name] = array
    if offset is not None and offset != len(body):
        raise InvalidInput(f"{len(body) - offset} bytes are left over after the last tensor")
    return arrays


def _from_json(what: str, head: TensorHead, count: int, spec: TensorSpec | None) -> Array:
    """The array of JSON data, null in it where the model takes what is missing."""
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
    kind: str, heads: Sequence[TensorHead], limits: Limits, metadata: ModelMetadata | None = None
) -> list[tuple[str, int]]:
    """What sentences call each tensor, and its number of elements, once all that is said of them is found right;
    arguments as for `read_tensors`, which reads nothing before."""
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


def _elements(what: str, shape: Sequence[int], limits: Limits) -> int:
    """How many elements `shape` means. Empty axes count as 1 against the limit: lists of nothing cost memory too."""
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


def absent(what: str, parameters: Collection[str], neither: str) -> InvalidInput:
    """The error of a tensor without its elements, which has `neither` of the forms that they may have."""
    if "shared_memory_region" in parameters:
        return InvalidInput(f"{what} is in shared memory, which this server does not offer; send its data")
    return InvalidInput(f"{what} has neither {neither}")


def _size(what: str, head: TensorHead) -> int | None:
    """How many raw bytes the tensor says it has."""
    size = (head.parameters or {}).get(SIZE)
    if size is not None and (type(size) is not int or size < 0):
        raise InvalidInput(f"{what}: {SIZE} must be a whole number of bytes, 0 or more")
    return size


def _raw_end(what: str, head: TensorHead, size: int, body: bytes, offset: int | None) -> int:
    """Where the raw tensor that starts at `offset` ends."""
    if offset is None:
        raise InvalidInput(f"{what} has a {SIZE}, but the header Inference-Header-Content-Length is missing")
    if _given(head):
        raise InvalidInput(f"{what} has both data and a {SIZE}; send one of them")
    if offset + size > len(body):
        raise InvalidInput(f"{what}: {SIZE} is larger than what is left of the body")
    return offset + size


def _given(head: TensorHead) -> bool:
    """Whether there is JSON data; an explicit null is as if absent."""
    return bytes(memoryview(head.data)[:4]) not in (b"", b"null")
