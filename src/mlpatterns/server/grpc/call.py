"""One gRPC call and its answer, as the dispatcher and the guard see them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from time import monotonic
from types import MappingProxyType
from typing import Any

from msgspec import Struct

from mlpatterns.context import Context
from mlpatterns.errors import DeadlineExceeded, InvalidInput, MissingExtra, PredictionError
from mlpatterns.ids import new_id
from mlpatterns.oip.grpc_messages import DecodeError
from mlpatterns.oip.status import code_header, grpc_status, retry_pushback
from mlpatterns.server.exchange import Exchange, Header

try:
    import grpc
except ImportError as error:
    raise MissingExtra("gRPC", "grpc") from error

__all__ = ["STATUSES", "GrpcAnswer", "GrpcCall", "GrpcHandler", "packing", "parsed"]

STATUSES = {status.name: status for status in grpc.StatusCode}
LONGEST = 800  # characters of a sentence: clients take 8 KiB of metadata, and one character may need 9 bytes there
NO_HEADERS = MappingProxyType[str, str]({})


class GrpcAnswer(Struct):
    """A message, or a status with a sentence; the prediction id is added when it is sent."""

    body: bytes
    trailing: tuple[Header, ...] = ()
    status: str = "OK"
    details: str = ""


class GrpcCall(Exchange):
    """An exchange over gRPC: its metadata are headers, and its deadline is the client's or the server's.

    Args:
        path: `/SERVICE/METHOD`.
        rpc: grpc.aio's ServicerContext.

    Attributes:
        message: what came, undecoded; empty until it is here.
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
        """Waits for the message.

        Raises:
            InvalidInput: the client has ended the call without one.
        """
        message = await self.rpc.read()
        if message is grpc.aio.EOF:
            raise InvalidInput("the call has no message; send one")
        self.message, self._arrived = message, True
        return self.message

    def heed(self) -> None:
        """Takes the client's own deadline, if that is the earlier one."""
        left = self.rpc.time_remaining()
        if left is not None:
            self.tighten(monotonic() + left)

    def refusal(self, error: PredictionError) -> GrpcAnswer:
        trailing = (*retry_pushback(error), code_header(error))
        return GrpcAnswer(b"", trailing, grpc_status(error.code), str(error)[:LONGEST])

    async def answer(self, answer: GrpcAnswer, *, closing: bool = False) -> None:
        self._answer = answer  # `send` sends it, once it is counted

    async def send(self) -> bytes | None:
        """Sends the answer if it is a status; if it is a message, returns it for grpc.aio to send."""
        answer, self._answer = self._answer, None
        if answer is None:
            return None  # the guard has refused the call
        prediction_id = ("x-mlp-prediction-id", self.context.prediction_id)
        trailing = (*((name.decode(), value) for name, value in answer.trailing), prediction_id)
        if answer.status == "OK":
            self.rpc.set_trailing_metadata(trailing)
            return answer.body
        # `abort` sends the status at once and then raises; grpc.aio itself remembers that the call has ended.
        with suppress(grpc.aio.BaseError):
            await self.rpc.abort(STATUSES[answer.status], answer.details, trailing)
        return None

    def when_sent(self, callback: Callable[[], None]) -> None:
        """Calls `callback` when the answer has left the process or the client is gone.

        grpc.aio calls a handler in a task of its own for each call, and ends that task then.
        """
        task = asyncio.current_task()
        assert task is not None
        task.add_done_callback(lambda _: callback())

    # What the guard asks of a request:

    async def refuse(self) -> None:
        late = DeadlineExceeded() if self._arrived else DeadlineExceeded("the message did not arrive in time")
        self._answer = self.refusal(late)
        await self.send()

    def reading(self) -> bool:
        return False

    async def gone(self) -> None:
        await asyncio.Event().wait()  # when a client leaves, grpc.aio itself cancels the call


GrpcHandler = Callable[[GrpcCall], Coroutine[Any, Any, GrpcAnswer]]


def packing(message: bytes) -> str | None:
    """How a message is packed, by its first bytes, since grpc.aio does not say it; None if it is not.

    No protobuf begins as gzip does: it would be a field of wire type 7, and there is none. One that begins as zlib does
    begins with field 15, which no request of these services has.
    """
    if message[:2] == b"\x1f\x8b":
        return "gzip"
    return "deflate" if message[:1] == b"\x78" and int.from_bytes(message[:2], "big") % 31 == 0 else None


def parsed(kind: Any, body: bytes) -> Any:
    """The message in `body`.

    Raises:
        InvalidInput: it is none of its kind.
    """
    try:
        return kind.FromString(body)
    except DecodeError:
        raise InvalidInput(f"the message is no {kind.DESCRIPTOR.name}") from None
