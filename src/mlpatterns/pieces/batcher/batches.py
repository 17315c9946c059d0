"""Which requests fit into one batch, and how a batch is divided so that one bad request fails alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import msgspec
from msgspec.structs import replace

from mlpatterns.errors import ErrorCode, NotStarted, PredictionError
from mlpatterns.interfaces import MetricSeries
from mlpatterns.predictor import InferenceRequest, InferenceResponse, Predictor
from mlpatterns.tensors import stack, unstack

__all__ = ["Batch", "Group", "Outcome", "QueuedRequest", "ask_together", "group_of"]

# Temporary errors that no input causes: dividing the batch would not help.
FOR_ALL = frozenset({ErrorCode.UNAVAILABLE, ErrorCode.OVERLOADED, ErrorCode.RATE_LIMITED, ErrorCode.DEADLINE})

Group: TypeAlias = tuple[Any, ...]
Outcome: TypeAlias = InferenceResponse | Exception

_encode = msgspec.msgpack.Encoder(order="deterministic").encode


class QueuedRequest:
    """A request that waits for a batch.

    Attributes:
        left: whether its caller has left, so that no answer is needed.
        waits: whether it is counted as waiting.
    """

    __slots__ = ("left", "request", "rows", "waits")

    def __init__(self, request: InferenceRequest, rows: int) -> None:
        self.request, self.rows = request, rows
        self.left = self.waits = False


class Batch:
    """The requests of one group that arrive while the model is busy."""

    __slots__ = ("group", "items", "key", "rows")

    def __init__(self, key: str, group: Group) -> None:
        self.key, self.group = key, group
        self.items: list[QueuedRequest] = []
        self.rows = 0

    def add(self, item: QueuedRequest) -> int:
        """Adds `item`; returns its index in `items`."""
        self.items.append(item)
        self.rows += item.rows
        return len(self.items) - 1


def group_of(request: InferenceRequest) -> Group:
    """A key that is equal for requests that fit into one batch.

    It consists of the datatypes, the shapes without the rows, the parameters, the outputs and the purpose.
    """
    inputs = request.inputs
    tensors = [(name, inputs[name].dtype.str, inputs[name].shape[1:]) for name in sorted(inputs)]
    return *tensors, _parameters(request), request.outputs, request.context.purpose


def _parameters(request: InferenceRequest) -> object:
    if not request.parameters:
        return None
    try:
        return _encode(dict(request.parameters))
    except (TypeError, ValueError, OverflowError):
        return object()  # equal to no other object, so the request is sent alone


async def ask_together(
    inner: Predictor, items: Sequence[QueuedRequest], shape: InferenceRequest, divided: MetricSeries
) -> list[Outcome]:
    """The answer or the error of each of `items`, in their order.

    Args:
        shape: a request with everything but the inputs.
        divided: counts the batches that were halved.

    Raises:
        Exception: an error that concerns all of them: the model cannot answer now.
    """
    try:
        response = await inner.predict(replace(shape, inputs=stack([item.request.inputs for item in items])))
        parts = unstack(response.outputs, [item.rows for item in items])
    except Exception as error:
        if len(items) == 1:
            return [error]
        if isinstance(error, NotStarted) or (isinstance(error, PredictionError) and error.code in FOR_ALL):
            raise
    else:
        return [replace(response, outputs=part) for part in parts]
    divided.inc()
    half = len(items) // 2
    return [
        *await ask_together(inner, items[:half], shape, divided),
        *await ask_together(inner, items[half:], shape, divided),
    ]
