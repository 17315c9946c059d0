"""A request and its answer: `Exchange` for every protocol, `Call` and `Answer` for HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from time import monotonic
from types import MappingProxyType
from typing import Any, ClassVar

import msgspec
from msgspec import Struct

from mlpatterns.context import NOTHING, Context
from mlpatterns.errors import DeadlineExceeded, ErrorCode, InvalidInput, PredictionError
from mlpatterns.oip.status import code_header, http_status, retry_after
from mlpatterns.server.guard import Guard, GuardedRequest

__all__ = [
    "ANSWER_EXTENSION", "JSON", "Answer", "Call", "ClientGone", "Exchange", "Handler", "Header", "Receive",
    "Scope", "Send", "encode", "refusal", "time_allowed",
]  # fmt: skip

Scope = Any  # the dictionary of the ASGI specification
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Header = tuple[bytes, bytes]

ANSWER_EXTENSION = "mlpatterns.answer"  # sends an answer in one write, and reports when it is sent: http_protocol.py

CLIENT_GONE = 499  # nginx's status for a client that has left; it is counted but never sent
JSON: Header = (b"content-type", b"application/json")
encode = msgspec.json.Encoder().encode


class Answer(Struct):
    """The status, body and headers of an answer. `Call.answer` adds the content length and the prediction id.

    If `chunks` is set, it replaces `body`: each chunk is sent as soon as it is made, without a content length.
    """

    body: bytes
    headers: tuple[Header, ...] = (JSON,)
    status: int = 200
    chunks: AsyncIterator[bytes] | None = None


class Exchange(GuardedRequest):
    """One request and its answer, over any protocol. The dispatcher and the guard use only this class.

    `scope` is ASGI's scope, or a dictionary with at least its method, path and headers. `headers` maps lower-case names
    to values; for a repeated header it has the last value. `body` is None until it is read.
    """

    __slots__ = ("body", "context", "headers", "held", "scope", "status", "unsent")

    GIVEN_UP: ClassVar[Mapping[str, Any]]
    """The status to count for abandoned work, by the guard's reason: ``deadline`` or ``client``."""

    def __init__(self, scope: Scope, headers: Mapping[bytes, bytes], context: Context) -> None:
        self.scope, self.headers, self.context = scope, headers, context
        self.body: bytes | None = None
        self.held = 0  # bytes that `Buffers` counts for this request
        self.unsent = 0  # the part of these bytes that is the answer
        self.deadline = 0.0  # monotonic seconds
        self.guard: Guard | None = None
        self.status: Any = 0  # the status to count if no answer is sent

    def tighten(self, deadline: float) -> None:
        """Makes `deadline` (monotonic seconds) the deadline if it is earlier than the current one."""
        if deadline < self.deadline:
            self.deadline = deadline
            if self.guard is not None:
                self.guard.rearm()

    def refusal(self, error: PredictionError) -> Any:
        """The answer to a request that failed."""
        raise NotImplementedError

    async def answer(self, answer: Any, *, closing: bool = False) -> None:
        """Sends `answer`, and with `closing` asks the client not to use the connection again."""
        raise NotImplementedError

    def when_sent(self, callback: Callable[[], None]) -> None:
        """Calls `callback` once, when this process no longer holds the answer. It may call it at once."""
        callback()


class Call(Exchange):
    """An exchange over HTTP. `receive` is that of ASGI."""

    __slots__ = ("_send", "receive")

    GIVEN_UP = MappingProxyType({"deadline": 504, "client": CLIENT_GONE})

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, headers: Mapping[bytes, bytes], context: Context
    ) -> None:
        super().__init__(scope, headers, context)
        self.receive, self._send = receive, send

    async def answer(self, answer: Answer, *, closing: bool = False) -> None:
        """Sends `answer`, and with `closing` asks the client not to use the connection again."""
        if answer.chunks is not None:
            await self._stream(answer, answer.chunks, closing=closing)
            return
        headers = [
            *answer.headers,
            (b"content-length", b"%d" % len(answer.body)),
            (b"x-mlp-prediction-id", self.context.prediction_id.encode()),
        ]
        if closing:
            headers.append((b"connection", b"close"))
        else:
            extension = self._extension()
            if extension is not None and extension["send"](self._send, answer.status, headers, answer.body):
                return
        await self._send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await self._send({"type": "http.response.body", "body": answer.body})

    async def _stream(self, answer: Answer, chunks: AsyncIterator[bytes], *, closing: bool) -> None:
        """Sends one chunk after another until the client leaves.

        Our own server disconnects a client that does not read. With another server, sending a chunk may take as long as
        the time that the request has left when the stream begins, but at least one second.

        Raises:
            TimeoutError: the other server took longer to send a chunk.
        """
        seconds = None if self._extension() is not None else max(1.0, self.deadline - monotonic())
        headers = [*answer.headers, (b"x-mlp-prediction-id", self.context.prediction_id.encode())]
        if closing:
            headers.append((b"connection", b"close"))
        await self._send({"type": "http.response.start", "status": answer.status, "headers": headers})
        leaving = asyncio.ensure_future(self.gone())
        try:
            async for chunk in chunks:
                if leaving.done():
                    return
                async with asyncio.timeout(seconds):
                    await self._send({"type": "http.response.body", "body": chunk, "more_body": True})
                await asyncio.sleep(0)  # lets other tasks run, even if `chunks` and `send` never wait
            await self._send({"type": "http.response.body", "body": b""})
        finally:
            leaving.cancel()

    def when_sent(self, callback: Callable[[], None]) -> None:
        extension = self._extension()
        if extension is None:  # this server does not report its progress
            callback()
        else:
            extension["when_sent"](callback)

    def _extension(self) -> Any:
        return self.scope.get("extensions", NOTHING).get(ANSWER_EXTENSION)

    def refusal(self, error: PredictionError) -> Answer:
        return refusal(error)

    async def refuse(self) -> None:
        late = Answer(encode({"error": "the request did not arrive in time"}), status=408)
        await self.answer(late if self.reading() else refusal(DeadlineExceeded()), closing=True)

    def reading(self) -> bool:
        return self.body is None and self.scope["method"] == "POST"

    async def gone(self) -> None:
        while (await self.receive())["type"] != "http.disconnect":
            continue


Handler = Callable[[Call], Coroutine[Any, Any, Answer]]


def refusal(error: PredictionError) -> Answer:
    """The answer to a failed request: `{"error": sentence}`, with the error's status and its code as a header."""
    seconds = retry_after(error)
    headers: tuple[Header, ...] = (JSON, code_header(error))
    if seconds is not None:
        headers = (*headers, (b"retry-after", b"%d" % seconds))
    if error.code is ErrorCode.DENIED:
        headers = (*headers, (b"www-authenticate", b"Bearer"))
    return Answer(encode({"error": str(error)}), headers, http_status(error.code))


class ClientGone(Exception):
    """The client left before its request was complete."""


def time_allowed(headers: Mapping[bytes, bytes], most: float) -> float:
    """The seconds that a request may take: its `x-request-timeout-ms`, but no more than `most`.

    Raises:
        InvalidInput: the header is not a whole number greater than 0.
    """
    asked = headers[b"x-request-timeout-ms"]
    if not asked.isdigit() or len(asked) > 12 or int(asked) == 0:
        raise InvalidInput("x-request-timeout-ms must be a whole number of milliseconds greater than 0")
    return min(most, int(asked) / 1000)
