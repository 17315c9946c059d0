"""One gRPC call and its answer, as the dispatcher and the guard see them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import lru_cache
from time import monotonic
from types import MappingProxyType
from typing import Any

from msgspec import Struct

from mlpatterns.errors import DeadlineExceeded, InvalidInput, MissingExtra, PredictionError
from mlpatterns.ids import new_id
from mlpatterns.oip.grpc_messages import DecodeError
from mlpatterns.oip.status import PUSHBACK, grpc_status, retry_after
from mlpatterns.predictor import Context
from mlpatterns.server.exchange import Exchange, Header

try:
    import grpc
except ImportError as error:
    raise MissingExtra("gRPC", "grpc") from error

__all__ = ["STATUSES", "GrpcAnswer", "GrpcCall", "GrpcHandler", "parsed", "trailing"]

STATUSES = {status.name: status for status in grpc.StatusCode}
LONGEST = 800  # characters of a sentence: clients take 8 KiB of metadata, and one character may need 9 bytes there
NO_HEADERS = MappingProxyType[str, str]({})


class GrpcAnswer(Struct):
    """A message, or a status with a sentence; the prediction id is added when it is sent."""

    body: bytes
    trailing: tuple[tuple[str, str | bytes], ...] = ()
    status: str = "OK"
    details: str = ""


class GrpcCall(Exchange):
    """An exchange over gRPC: its metadata are headers, and its deadline is the client's or the server's.

    Args:
        path: `/SERVICE/METHOD`.
        message: what came, undecoded.
        rpc: grpc.aio's ServicerContext.
    """

    __slots__ = ("_answer", "_rpc", "message")

    GIVEN_UP = MappingProxyType({"deadline": "DEADLINE_EXCEEDED", "client": "CANCELLED"})

    def __init__(self, path: str, message: bytes, rpc: Any) -> None:
        pairs = [(_bytes(name), _bytes(value)) for name, value in rpc.invocation_metadata() or ()]
        scope = {"method": "GRPC", "path": path, "headers": pairs}
        super().__init__(scope, dict(pairs), Context(new_id(), NO_HEADERS))
        self.message, self._rpc = message, rpc
        self._answer: GrpcAnswer | None = None

    def heed(self) -> None:
        """Takes the client's own deadline, if that is the earlier one."""
        left = self._rpc.time_remaining()
        if left is not None:
            self.tighten(monotonic() + left)

    def refusal(self, error: PredictionError) -> GrpcAnswer:
        seconds = retry_after(error)
        trailing = () if seconds is None else ((PUSHBACK, str(1000 * seconds)),)
        return GrpcAnswer(b"", trailing, grpc_status(error.code), str(error)[:LONGEST])

    async def answer(self, answer: GrpcAnswer, *, closing: bool = False) -> None:
        self._answer = answer  # a unary call is answered by what its handler returns

    async def sent(self) -> bytes:
        """The message of the answer, its metadata being set; the handler of the call returns this.

        Raises:
            grpc.aio.AbortError: the answer is a status, which has been sent.
        """
        answer = self._answer
        if answer is None:
            return b""  # the work was given up, and the guard has sent its refusal
        trailing = (*answer.trailing, ("x-mlp-prediction-id", self.context.prediction_id))
        if answer.status != "OK":
            await self._rpc.abort(STATUSES[answer.status], answer.details, trailing)
        self._rpc.set_trailing_metadata(trailing)
        return answer.body

    # What the guard asks of a request:

    async def refuse(self) -> None:
        self._answer = self.refusal(DeadlineExceeded())
        with suppress(grpc.aio.BaseError):  # it is raised to say that the call has ended, which is what is wanted
            await self.sent()
        self._answer = None

    def reading(self) -> bool:
        return False

    async def gone(self) -> None:
        await asyncio.Event().wait()  # when a client leaves, grpc.aio itself cancels the call


@lru_cache(maxsize=256)  # few versions, arms and states, each in every answer
def trailing(headers: tuple[Header, ...]) -> tuple[tuple[str, str | bytes], ...]:
    """Headers as metadata."""
    return tuple((name.decode(), value) for name, value in headers)


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()


GrpcHandler = Callable[[GrpcCall], Coroutine[Any, Any, GrpcAnswer]]


def parsed(kind: Any, body: bytes) -> Any:
    """The message in `body`.

    Raises:
        InvalidInput: it is none of its kind.
    """
    try:
        return kind.FromString(body)
    except DecodeError:
        raise InvalidInput(f"the message is no {kind.DESCRIPTOR.name}") from None
