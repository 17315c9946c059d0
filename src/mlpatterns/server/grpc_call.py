"""One gRPC call and its answer, as the dispatcher and the guard see them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol

from msgspec import Struct

from mlpatterns.context import Context
from mlpatterns.errors import DeadlineExceeded, InvalidInput, PredictionError
from mlpatterns.ids import new_id
from mlpatterns.oip.grpc_messages import DecodeError
from mlpatterns.oip.status import grpc_status, retry_pushback
from mlpatterns.server.exchange import Exchange, Header

__all__ = ["Answering", "GrpcAnswer", "GrpcCall", "GrpcHandler", "Incoming", "parsed"]

LONGEST = 800  # characters of a sentence: clients take 8 KiB of metadata, and one character may need 9 bytes there
NO_HEADERS = MappingProxyType[str, str]({})
Metadata = tuple[Header, ...]


class Incoming(Protocol):
    """A call, as the server that took it gives it; `launch/grpc` has the one there is.

    Attributes:
        path: `/SERVICE/METHOD`.
        metadata: names and values as they came, in order; those of `-bin` decoded.
        headers: the same by name, the last of a repeated one.
        deadline: of the client, in monotonic seconds, if it has one.
        held: bytes that `Buffers` counts for its message.
    """

    held: int
    deadline: float | None

    @property
    def path(self) -> str: ...
    @property
    def metadata(self) -> Sequence[Header]: ...
    @property
    def headers(self) -> Mapping[bytes, bytes]: ...

    async def answer(self, message: bytes, trailing: Metadata, once: Metadata) -> None:
        """Sends the one message, with status OK; `once` is metadata that does not come again."""

    async def status(self, status: str, details: str, trailing: Metadata = (), once: Metadata = ()) -> None:
        """Sends the end, with a status by its name in google.rpc.Code."""

    async def message(self, message: bytes) -> None:
        """Sends one of several messages."""


Answering = Callable[[Incoming, bytes], Coroutine[Any, Any, None]]  # a call and its message


class GrpcAnswer(Struct):
    """A message, or a status with a sentence; the prediction id is added when it is sent."""

    body: bytes
    trailing: Metadata = ()
    status: str = "OK"
    details: str = ""


class GrpcCall(Exchange):
    """An exchange over gRPC: its metadata are headers, and its deadline is the client's or the server's.

    Args:
        message: what came, undecoded.
    """

    __slots__ = ("_incoming", "message")

    GIVEN_UP = MappingProxyType({"deadline": "DEADLINE_EXCEEDED", "client": "CANCELLED"})

    def __init__(self, incoming: Incoming, message: bytes) -> None:
        scope = {"method": "GRPC", "path": incoming.path, "headers": incoming.metadata}
        super().__init__(scope, incoming.headers, Context(new_id(), NO_HEADERS))
        self.message, self._incoming = message, incoming
        self.held, incoming.held = incoming.held, 0  # the dispatcher lets go of it

    def heed(self) -> None:
        """Takes the client's own deadline, if that is the earlier one."""
        if self._incoming.deadline is not None:
            self.tighten(self._incoming.deadline)

    def refusal(self, error: PredictionError) -> GrpcAnswer:
        return GrpcAnswer(b"", retry_pushback(error), grpc_status(error.code), str(error)[:LONGEST])

    async def answer(self, answer: GrpcAnswer, *, closing: bool = False) -> None:
        once = ((b"x-mlp-prediction-id", self.context.prediction_id.encode()),)
        if answer.status == "OK":
            await self._incoming.answer(answer.body, answer.trailing, once)
        else:
            await self._incoming.status(answer.status, answer.details, answer.trailing, once)

    # What the guard asks of a request:

    async def refuse(self) -> None:
        await self.answer(self.refusal(DeadlineExceeded()))

    def reading(self) -> bool:
        return False

    async def gone(self) -> None:
        await asyncio.Event().wait()  # when a client leaves, its call is cancelled


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
