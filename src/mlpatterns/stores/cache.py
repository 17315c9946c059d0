"""The CacheStore: answers by key, for a limited time. If an entry is lost, the model only computes its answer again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from mlpatterns.metadata import Array
from mlpatterns.predictor import InferenceResponse
from mlpatterns.tensors import read_only

__all__ = ["CacheEntry", "CacheStore", "CacheUsage", "owned_copy", "shareable_view", "size_of"]

OVERHEAD = 1024  # bytes of an entry in addition to its tensors: key, structs, the headers of two arrays
OF_ONE = 64  # bytes of an object in addition to its content


class CacheEntry(Struct, frozen=True):
    """A response made by `owned_copy`, and the time until which it is fresh, in seconds since 1970."""

    response: InferenceResponse
    fresh_until: float


class CacheUsage(Struct, frozen=True):
    """The size of a store, if it is known, and the entries that it lost since it was opened.

    Attributes:
        entries: the number of entries, or None if the store does not know it.
        bytes: the size of all entries as the store estimates it, or None.
        evictions: entries that were removed before they expired.
        damaged: entries that could not be decoded or encoded.
    """

    entries: int | None = None
    bytes: int | None = None
    evictions: int = 0
    damaged: int = 0


class CacheStore(Protocol):
    """Entries by key. Opening a store fails only if the URL is malformed; if the store is down, its methods fail.

    Attributes:
        instant: whether the store answers without waiting, so that the caller needs neither a time limit nor a task.
    """

    @property
    def instant(self) -> bool: ...
    @property
    def usage(self) -> CacheUsage: ...

    async def get(self, key: str) -> CacheEntry | None:
        """The entry, or None if it was never written, has expired, was evicted, or is damaged.

        Raises:
            Unavailable: the store does not answer, or gives an unexpected answer.
        """
        ...

    async def get_many(self, keys: Sequence[str]) -> dict[str, CacheEntry]:
        """The entries that exist, in one round trip."""
        ...

    async def set_many(self, entries: Mapping[str, CacheEntry], ttl: float) -> None:
        """Writes entries, which expire after `ttl` seconds. They replace older entries with the same keys.

        An entry that cannot be encoded is skipped and counted in `usage.damaged`.

        Raises:
            Unavailable: the store does not answer, or gives an unexpected answer.
        """
        ...

    async def clear(self, prefix: str) -> int:
        """Deletes all entries whose keys begin with `prefix`; returns their number."""
        ...

    async def close(self) -> None: ...


def owned_copy(response: InferenceResponse) -> InferenceResponse:
    """A copy of `response` with its own read-only tensors. A copy is needed because a model may reuse its buffers,
    and because a view of one row would keep the whole batch in memory."""
    return replace(response, outputs=MappingProxyType({name: _own(value) for name, value in response.outputs.items()}))


def shareable_view(response: InferenceResponse) -> InferenceResponse:
    """`response` with read-only views of its tensors, so that several callers can share it."""
    return replace(
        response, outputs=MappingProxyType({name: read_only(value) for name, value in response.outputs.items()})
    )


def size_of(response: InferenceResponse) -> int:
    """The approximate memory of `response`, in bytes."""
    return OVERHEAD + sum(map(_bytes, response.outputs.values()))


def _own(value: Array) -> Array:
    own = np.array(value, copy=True, order="C")
    own.setflags(write=False)
    return own


def _bytes(value: Array) -> int:
    if value.dtype.kind != "O":
        return value.nbytes
    return value.nbytes + sum(OF_ONE + (len(item) if isinstance(item, bytes | str) else 0) for item in value.flat)
