"""One gRPC call and its answer, in the form that the dispatcher and the guard use."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from time import monotonic
from types import MappingProxyType
from typing import Any

from msgspec import Struct

from mlpatterns.context import Context
from mlpatterns.errors import DeadlineExceeded, InvalidInput, PredictionError
from mlpatterns.ids import new_id
from mlpatterns.oip.grpc_messages import DecodeError
from mlpatterns.oip.status import code_header, grpc_status, retry_pushback
from mlpatterns.server.exchange import Exchange, Header
from mlpatterns.user_errors import MissingExtra

try:
    import grpc
except ImportError as error:
    raise MissingExtra("gRPC", "grpc") from error

__all__ = ["STATUSES", "GrpcAnswer", "GrpcCall", "GrpcHandler", "compression_of", "parse_message"]

STATUSES = {status.name: status for status in grpc.StatusCode}
MAX_DETAILS = 800  # characters of an error text: clients accept 8 KiB of metadata, and a character may need 9 bytes
NO_HEADERS = MappingProxyType[str, str]({})


class GrpcAnswer(Struct):
    """A serialized message, or an error status with its details. `GrpcCall.send` adds the prediction id."""

    body: bytes
    trailing: tuple[Header, ...] = ()
    status: str = "OK"
    details: str = ""


class GrpcCall(Exchange):
    """An exchange over gRPC. The metadata of the call are its headers.

    Args:
        path: `/SERVICE/METHOD`.
        rpc: grpc.aio's ServicerContext.

    Attributes:
        message: the serialized request; empty until `read` has returned.
    """

    __slots__ = ("_answer", "_arrived", "message", "rpc")

    GIVEN_UP = MappingProxyType({"deadline": "DEADLINE_EXCEEDED", "client": "CANCELLED"})

    def __init__(self, path: str, rpc: Any) -> None:
        headers = [(name.encode(), value if isinstance(value, bytes) else value.encode())
                   for name, value in rpc.invocation_metadata() or ()]  # fmt: skip
        scope = {"method": "GRPC", "path": path, "headers": headers}
        super().__init__(scope, dict(headers), Context(new_id(), NO_HEADERS))
        self.rpc = rpc
        self.message, self._arrived = b"", False
        self._answer: GrpcAnswer | None = None

    async def read(self) -> bytes:
        """Waits for the message and returns it.

        Raises:
            InvalidInput: the client has ended the call without a message.
        """
        message = await self.rpc.read()
        if message is grpc.aio.EOF:
            raise InvalidInput("the call has no message; send one")
        self.message, self._arrived = message, True
        return self.message

    def apply_client_deadline(self) -> None:
        """Makes the client's deadline the deadline of the call, if it is earlier."""
        left = self.rpc.time_remaining()
        if left is not None:
            self.tighten(monotonic() + left)

    def refusal(self, error: PredictionError) -> GrpcAnswer:
        trailing = (*retry_pushback(error), code_header(error))
        return GrpcAnswer(b"", trailing, grpc_status(error.code), str(error)[:MAX_DETAILS])

    async def answer(self, answer: GrpcAnswer, *, closing: bool = False) -> None:
        self._answer = answer  # `send` sends it after the dispatcher has returned

    async def send(self) -> bytes | None:
        """Returns the message that grpc.aio must send, or sends the error status and returns None."""
        answer, self._answer = self._answer, None
        if answer is None:
            return None  # the guard has already sent the status, or the client has left
        prediction_id = ("x-mlp-prediction-id", self.context.prediction_id)
        trailing = (*((name.decode(), value) for name, value in answer.trailing), prediction_id)
        if answer.status == "OK":
            self.rpc.set_trailing_metadata(trailing)
            return answer.body
        # `abort` sends the status and then raises. The error is not needed, because grpc.aio knows that the call ended.
        with suppress(grpc.aio.BaseError):
            await self.rpc.abort(STATUSES[answer.status], answer.details, trailing)
        return None

    def when_sent(self, callback: Callable[[], None]) -> None:
        """Calls `callback` when the answer has been sent or the client has left.

        grpc.aio runs each handler in its own task, which ends at that time.
        """
        task = asyncio.current_task()
        assert task is not None
        task.add_done_callback(lambda _: callback())

    # ---- the methods of GuardedRequest ---------------------------------------------------------------------------

    async def refuse(self) -> None:
        late = DeadlineExceeded() if self._arrived else DeadlineExceeded("the message did not arrive in time")
        self._answer = self.refusal(late)
        await self.send()

    def reading(self) -> bool:
        return False

    async def gone(self) -> None:
        await asyncio.Event().wait()  # never returns, because grpc.aio itself cancels the call when the client leaves


GrpcHandler = Callable[[GrpcCall], Coroutine[Any, Any, GrpcAnswer]]


def compression_of(message: bytes) -> str | None:
    """The compression of a message, ``gzip`` or ``deflate``; None if it is not compressed.

    grpc.aio does not report the compression, so the first bytes of the message determine it. No protobuf message begins
    like gzip data, because its first field would have wire type 7, which does not exist. A message that begins like
    zlib data would begin with field 15, which no request of these services has.
    """
    if message[:2] == b"\x1f\x8b":
        return "gzip"
    return "deflate" if message[:1] == b"\x78" and int.from_bytes(message[:2], "big") % 31 == 0 else None


def parse_message(kind: Any, body: bytes) -> Any:
    """Parses a message of the class `kind`.

    Raises:
        InvalidInput: `body` is not such a message.
    """
    try:
        return kind.FromString(body)
    except DecodeError:
        raise InvalidInput(f"the message is not a valid {kind.DESCRIPTOR.name}") from None
