"""The CacheStore: answers by key, for a while. What it holds may be lost at any time; it is only asked again."""

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

__all__ = ["CacheEntry", "CacheStore", "CacheUsage", "kept", "sealed", "size_of"]

OVERHEAD = 1024  # bytes of an entry beside its tensors: key, records, the headers of two arrays
OF_ONE = 64  # bytes of an object beside what it holds


class CacheEntry(Struct, frozen=True):
    """An answer, made by `kept`. Fresh until then, in seconds of the wall clock, which processes share."""

    response: InferenceResponse
    fresh_until: float


class CacheUsage(Struct, frozen=True):
    """What a store holds, where it knows, and what it lost since it was opened.

    Attributes:
        bytes: as the store counts them.
        evictions: entries that had to go before their time.
        damaged: values found that were no entries.
    """

    entries: int | None = None
    bytes: int | None = None
    evictions: int = 0
    damaged: int = 0


class CacheStore(Protocol):
    """Entries by key. Opening one fails on a malformed URL only: a store that is down is found out in use.

    Attributes:
        instant: it answers without waiting, so that whoever asks needs neither a time bound nor a task.
    """

    @property
    def instant(self) -> bool: ...
    @property
    def usage(self) -> CacheUsage: ...

    async def get(self, key: str) -> CacheEntry | None:
        """The entry, or None: never written, past its time, evicted, or damaged.

        Raises:
            Unavailable: the store does not answer as it should.
        """
        ...

    async def get_many(self, keys: Sequence[str]) -> dict[str, CacheEntry]:
        """Those that there are, in one round trip."""
        ...

    async def set_many(self, entries: Mapping[str, CacheEntry], ttl: float) -> None:
        """Writes entries, over those that were there, to be forgotten after `ttl` seconds.

        Raises:
            Unavailable: the store does not answer as it should.
            TypeError: an entry holds what cannot be stored.
        """
        ...

    async def clear(self, prefix: str) -> int:
        """Forgets all keys that begin with `prefix`; returns how many there were."""
        ...

    async def close(self) -> None: ...


def kept(response: InferenceResponse) -> InferenceResponse:
    """`response` with tensors of its own, which nobody can write to: a model may use its buffers again, and a row of
    a batch would keep the whole batch in memory."""
    return replace(response, outputs=MappingProxyType({name: _own(value) for name, value in response.outputs.items()}))


def sealed(response: InferenceResponse) -> InferenceResponse:
    """`response` with its tensors as views that nobody can write to, for several who get it."""
    return replace(
        response, outputs=MappingProxyType({name: read_only(value) for name, value in response.outputs.items()})
    )


def size_of(response: InferenceResponse) -> int:
    """About how many bytes of memory `response` takes."""
    return OVERHEAD + sum(map(_bytes, response.outputs.values()))


def _own(value: Array) -> Array:
    own = np.array(value, copy=True, order="C")
    own.setflags(write=False)
    return own


def _bytes(value: Array) -> int:
    if value.dtype.kind != "O":
        return value.nbytes
    return value.nbytes + sum(OF_ONE + (len(item) if isinstance(item, bytes | str) else 0) for item in value.flat)
