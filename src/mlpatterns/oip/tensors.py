"""What both forms of a tensor share: names, datatypes, shapes and sizes are checked here before anything is read."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from math import prod
from typing import Any

from mlpatterns.datatypes import DTYPES
from mlpatterns.errors import InvalidInput, TooLarge
from mlpatterns.metadata import Array, TensorSpec
from mlpatterns.oip.json_tensors import from_json
from mlpatterns.oip.limits import Limits
from mlpatterns.oip.raw_tensors import from_bytes
from mlpatterns.oip.wire import TensorHead, quoted

__all__ = ["SIZE", "check_datatype", "check_dimensions", "check_tensor", "read_tensors"]

SIZE = "binary_data_size"
MOST = 2**63 - 1  # elements of a tensor that anybody can count


def read_tensors(
    kind: str,
    heads: Sequence[TensorHead],
    specs: Mapping[str, TensorSpec] | None,
    body: bytes,
    offset: int | None,
    limits: Limits,
) -> dict[str, Array]:
    """The arrays of `heads` by name.

    Args:
        kind: what a sentence calls them: input or output.
        specs: what the model takes, or None to take what comes.
        body: holds the raw tensors from `offset` on, in the order of `heads`; offset None means that there are none.

    Returns:
        arrays in the shapes of `heads`; raw ones are read-only views of `body` wherever its alignment allows.

    Raises:
        InvalidInput: a tensor is not what it says, or not what the model takes.
        TooLarge: a tensor has more elements than `limits` allow.
    """
    arrays: dict[str, Array] = {}
    for head in heads:
        what, count = check_tensor(kind, head, specs, arrays, limits)
        size = (head.parameters or {}).get(SIZE)
        if size is None:
            if not _given(head):
                raise _absent(what, head)
            arrays[head.name] = from_json(what, head.datatype, tuple(head.shape), count, bytes(head.data))
        else:
            offset = _raw_end(what, head, size, body, offset)
            arrays[head.name] = from_bytes(what, head.datatype, head.shape, count, body, offset - size, size)
    if offset is not None and offset != len(body):
        raise InvalidInput(f"{len(body) - offset} bytes are left over after the last tensor")
    return arrays


def check_tensor(
    kind: str, tensor: TensorHead, specs: Mapping[str, TensorSpec] | None, known: Container[str], limits: Limits
) -> tuple[str, int]:
    """What sentences call `tensor`, and its number of elements, once its name, datatype and shape are found right.

    Args:
        specs: as for `read_tensors`.
        known: names that were given before.

    Raises:
        InvalidInput, TooLarge: as `read_tensors`.
    """
    name = tensor.name
    what = f"{kind} {quoted(name)}"
    if name in known:
        raise InvalidInput(f"{what} is given twice")
    if specs is not None and name not in specs:
        raise InvalidInput(f"there is no {what}; the model takes {', '.join(specs)}")
    spec = specs[name] if specs is not None else None
    check_datatype(what, tensor.datatype, spec)
    return what, _elements(what, tensor.shape, spec, limits)


def _absent(what: str, head: TensorHead) -> InvalidInput:
    if "shared_memory_region" in (head.parameters or {}):
        return InvalidInput(f"{what} is in shared memory, which this server does not offer; send its data")
    return InvalidInput(f"{what} has neither data nor a {SIZE}")


def check_datatype(what: str, datatype: str, spec: TensorSpec | None) -> None:
    if spec is not None and datatype != spec.datatype:
        raise InvalidInput(f"{what} has datatype {quoted(datatype)}, but the model has {spec.datatype}")
    if datatype not in DTYPES:
        raise InvalidInput(f"{what} has an unknown datatype {quoted(datatype)}")


def check_dimensions(what: str, shape: Sequence[int], spec: TensorSpec) -> None:
    """Rank and fixed dimensions must be the model's."""
    fits = len(shape) == len(spec.shape)
    for size, wanted in zip(shape, spec.shape, strict=False):
        fits = fits and wanted in (size, -1)
    if not fits:
        raise InvalidInput(f"{what} has shape {str(list(shape))[:100]}, but the model has {list(spec.shape)}")


def _elements(what: str, shape: Sequence[int], spec: TensorSpec | None, limits: Limits) -> int:
    """How many elements `shape` means. Empty axes count as 1 against the limit: lists of nothing cost memory too."""
    if len(shape) > limits.max_rank:
        raise InvalidInput(f"{what} has {len(shape)} dimensions; at most {limits.max_rank} are accepted")
    if shape and min(shape) < 0:
        raise InvalidInput(f"{what} has a negative dimension in its shape")
    count = prod(shape)
    most = count or prod(size or 1 for size in shape)
    if most > MOST:
        raise InvalidInput(f"{what} has a shape with more elements than 64 bits can count")
    if spec is not None:
        check_dimensions(what, shape, spec)
    if most > limits.max_elements:
        raise TooLarge(f"{what} has more than the {limits.max_elements} elements that are accepted")
    return count


def _raw_end(what: str, head: TensorHead, size: Any, body: bytes, offset: int | None) -> int:
    """Where the raw tensor that starts at `offset` ends."""
    if type(size) is not int or size < 0:
        raise InvalidInput(f"{what}: {SIZE} must be a whole number of bytes, 0 or more")
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
