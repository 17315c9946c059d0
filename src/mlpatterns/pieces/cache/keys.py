"""Cache keys: only equal requests to the same model have equal keys.

A key is a digest of everything that determines the answer: the identity, name and version of the model, the tensors,
the parameters and the requested outputs. The caller (context), the request id and the deadline do not affect the answer
and are left out.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Iterator
from hashlib import blake2b

import msgspec
import numpy as np

from mlpatterns.errors import NotStarted
from mlpatterns.metadata import Array, ModelMetadata
from mlpatterns.pieces.identity import require_identity
from mlpatterns.predictor import InferenceRequest, Predictor, Runtime
from mlpatterns.tensors import batch_size
from mlpatterns.user_errors import CompositionError

__all__ = ["CacheKey", "ModelKeys", "RequestKeys", "Unkeyable"]

log = logging.getLogger("mlpatterns")

PLAIN = frozenset("biufcSU")  # kinds of arrays whose bytes are their values
COPIED = 4096  # bytes; above that a view is cheaper than a copy
HASHED_ON_LOOP = 2**20  # bytes, which take about a millisecond to hash; more are hashed in a thread

CacheKey = tuple[str, str]  # the key, and the identity of the model that it is for
_encode = msgspec.msgpack.Encoder(order="deterministic").encode


class Unkeyable(Exception):
    """The request has a value that cannot become part of a key."""


class ModelKeys:
    """Makes the keys of one model.

    The digest is BLAKE2b with 256 bits. It must resist collisions, because requests come from outside, and two requests
    with the same key get the same answer.

    Args:
        piece: the class name of the cache, so that two kinds of cache in one store never share entries.

    Attributes:
        namespace: the prefix of all its keys.
    """

    __slots__ = ("_begun", "namespace")

    def __init__(self, identity: str, name: str, version: str, piece: str = "PredictionCache") -> None:
        model = _encode((piece, identity, name, version))
        self.namespace = blake2b(model, digest_size=16, person=b"mlp model").hexdigest()
        self._begun = blake2b(model, digest_size=32, person=b"mlp question")

    def key(self, request: InferenceRequest) -> str:
        """The key of `request`. Numbers are compared by their bytes: -0.0 is not 0.0, and identical NaNs are equal.

        Raises:
            Unkeyable: a tensor has objects other than bytes, or a parameter is not a JSON value.
        """
        state = self._begun.copy()
        inputs = request.inputs
        for name in inputs if len(inputs) == 1 else sorted(inputs):
            value = inputs[name]
            if value.dtype.str[0] == ">":
                value = value.astype(value.dtype.newbyteorder("<"))
            # Unambiguous: the name is quoted, and dtype and shape give the number of bytes that follow.
            state.update(f"{name!r}{value.dtype.str}{value.shape}".encode())
            state.update(_content(value))
        if request.parameters or request.outputs:
            try:
                state.update(b"+" + _encode((dict(request.parameters), request.outputs)))
            except (TypeError, ValueError, OverflowError):
                raise Unkeyable from None
        return f"{self.namespace}:{state.hexdigest()}"


class RequestKeys:
    """The keys of requests to `inner`, whose model may change. Create it after everything below `piece` has started.

    Args:
        piece: the class name of the cache.
        inner: the predictor that the cache wraps.
        runtime: the runtime of the cache, which hashes large requests in a thread.

    Raises:
        CompositionError: `inner` has no identity.
    """

    def __init__(self, piece: str, inner: Predictor, runtime: Runtime) -> None:
        self._piece, self._inner, self._runtime = piece, inner, runtime
        self._settled = require_identity(piece, inner)
        self._known: tuple[str, ModelMetadata, ModelKeys] | None = None

    async def key_of(self, request: InferenceRequest) -> CacheKey | None:
        """The key of `request`; None if it has no key, or the model is not known yet."""
        keys = self.of_model()
        if keys is None or self._known is None:
            return None
        identity = self._known[0]
        try:
            if sum([value.nbytes for value in request.inputs.values()]) > HASHED_ON_LOOP:
                return await self._runtime.offload(lambda: keys.key(request)), identity
            return keys.key(request), identity
        except Unkeyable:
            return None

    async def keys_of_rows(self, request: InferenceRequest) -> tuple[list[str], str] | None:
        """The key of each row of `request`, as if the row were a separate request, and the identity of the model; None
        if a row has no key, or the model is not known yet."""

        keys = self.of_model()
        if keys is None or self._known is None:
            return None
        identity = self._known[0]

        def named() -> list[str]:
            return [keys.key(row) for row in rows_of(request)]

        try:
            if sum([value.nbytes for value in request.inputs.values()]) > HASHED_ON_LOOP:
                return await self._runtime.offload(named), identity
            return named(), identity
        except Unkeyable:
            return None

    def of_model(self) -> ModelKeys | None:
        """The keys of the current model; None while it is unknown."""
        identity = self._inner.identity()
        try:
            metadata = self._inner.metadata
        except NotStarted:
            return None
        known = self._known
        if known is not None and known[1] is metadata and known[0] == identity:
            return known[2]
        if identity is None:
            self._settle()
            return None
        self._known = identity, metadata, ModelKeys(identity, metadata.name, metadata.version, self._piece)
        self._settled = True
        return self._known[2]

    def _settle(self) -> None:
        """Logs once that `inner` has no identity, if a remote part reports this after the start."""
        if self._settled:
            return
        try:
            self._settled = require_identity(self._piece, self._inner)
        except CompositionError as error:
            self._settled = True
            log.error("nothing is cached: %s", error)


def rows_of(request: InferenceRequest) -> Iterator[InferenceRequest]:
    """Each row of `request` as a separate request."""
    for row in range(batch_size(request.inputs)):
        inputs = {name: value[row : row + 1] for name, value in request.inputs.items()}
        yield InferenceRequest(inputs, request.context, None, request.parameters, request.outputs)


def _content(value: Array) -> bytes | memoryview:
    kind = value.dtype.kind
    if kind == "O":
        return _framed(value)
    if kind not in PLAIN:
        raise Unkeyable
    return value.tobytes() if value.nbytes <= COPIED or kind in "SU" else np.ascontiguousarray(value).data


def _framed(value: Array) -> bytes:
    """The lengths of the items, then the items, so that ["ab", "c"] differs from ["a", "bc"]."""
    items = value.ravel().tolist()
    try:
        return struct.pack(f"<{len(items)}Q", *map(len, items)) + b"".join(items)
    except TypeError:
        raise Unkeyable from None
