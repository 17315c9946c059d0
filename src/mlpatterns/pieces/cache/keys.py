"""What a question is called in a cache: equal names for equal questions to the same model, and for no others.

A name is made of what decides the answer: the model's identity, name and version, the tensors, the parameters and the
outputs asked for. Who asks (context), how the answer is called (id) and how much time there is (deadline) decide
nothing, and would make each question another one.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Iterator
from hashlib import blake2b

import msgspec
import numpy as np

from mlpatterns.errors import CompositionError, NotStarted
from mlpatterns.metadata import Array, ModelMetadata
from mlpatterns.pieces.identified import require_identity
from mlpatterns.predictor import InferenceRequest, Predictor, Runtime
from mlpatterns.tensors import batch_size

__all__ = ["Keys", "Question", "Questions", "Unkeyable"]

log = logging.getLogger("mlpatterns")

PLAIN = frozenset("biufcSU")  # kinds of arrays whose bytes are their values
COPIED = 4096  # bytes; above that a view is cheaper than a copy
HASHED_ON_LOOP = 2**20  # bytes: a millisecond's worth

Question = tuple[str, str]  # the key, and the identity it was made with
_encode = msgspec.msgpack.Encoder(order="deterministic").encode


class Unkeyable(Exception):
    """A question holds something that has no bytes of its own."""


class Keys:
    """The keys of one model.

    The digest is BLAKE2b of 256 bits: questions come from outside, and two that had one key would get one answer.

    Args:
        piece: the class of the cache: two kinds of one store never read each other's entries.

    Attributes:
        namespace: what all of them begin with.
    """

    __slots__ = ("_begun", "namespace")

    def __init__(self, identity: str, name: str, version: str, piece: str = "PredictionCache") -> None:
        model = _encode((piece, identity, name, version))
        self.namespace = blake2b(model, digest_size=16, person=b"mlp model").hexdigest()
        self._begun = blake2b(model, digest_size=32, person=b"mlp question")

    def key(self, request: InferenceRequest) -> str:
        """The key of what `request` asks. Numbers count by their bytes: -0.0 is not 0.0, and each NaN is itself.

        Raises:
            Unkeyable: a tensor holds objects that are no bytes, or a parameter is no plain value.
        """
        state = self._begun.copy()
        inputs = request.inputs
        for name in inputs if len(inputs) == 1 else sorted(inputs):
            value = inputs[name]
            if value.dtype.str[0] == ">":
                value = value.astype(value.dtype.newbyteorder("<"))
            # No name, dtype and shape can be read as another's, and they say how many bytes follow.
            state.update(f"{name!r}{value.dtype.str}{value.shape}".encode())
            state.update(_content(value))
        if request.parameters or request.outputs:
            try:
                state.update(b"+" + _encode((dict(request.parameters), request.outputs)))
            except (TypeError, ValueError, OverflowError):
                raise Unkeyable from None
        return f"{self.namespace}:{state.hexdigest()}"


class Questions:
    """What requests to `inner` are called, as its model changes. Make it once all below `piece` are started.

    Raises:
        CompositionError: `inner` has no identity.
    """

    def __init__(self, piece: str, inner: Predictor, runtime: Runtime) -> None:
        self._piece, self._inner, self._runtime = piece, inner, runtime
        self._settled = require_identity(piece, inner)
        self._known: tuple[str, ModelMetadata, Keys] | None = None

    async def name(self, request: InferenceRequest) -> Question | None:
        """The key of `request`, or None if it has none, or the model is not known yet."""
        keys = self.keys()
        if keys is None or self._known is None:
            return None
        identity = self._known[0]
        try:
            if sum([value.nbytes for value in request.inputs.values()]) > HASHED_ON_LOOP:
                return await self._runtime.offload(lambda: keys.key(request)), identity
            return keys.key(request), identity
        except Unkeyable:
            return None

    async def of_rows(self, request: InferenceRequest) -> tuple[list[str], str] | None:
        """The keys of all rows of `request`, each as a question of its own, and the identity; None as for `name`."""
        keys = self.keys()
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

    def keys(self) -> Keys | None:
        """Those of the model as it is now, or None while it is not known."""
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
        self._known = identity, metadata, Keys(identity, metadata.name, metadata.version, self._piece)
        self._settled = True
        return self._known[2]

    def _settle(self) -> None:
        """A part that was not there at the start may have answered that it has no identity: too late to refuse."""
        if self._settled:
            return
        try:
            self._settled = require_identity(self._piece, self._inner)
        except CompositionError as error:
            self._settled = True
            log.error("nothing is cached: %s", error)


def rows_of(request: InferenceRequest) -> Iterator[InferenceRequest]:
    """Each row as a request of its own."""
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
    """The lengths, then the texts: ["ab", "c"] is not ["a", "bc"]."""
    items = value.ravel().tolist()
    try:
        return struct.pack(f"<{len(items)}Q", *map(len, items)) + b"".join(items)
    except TypeError:
        raise Unkeyable from None
