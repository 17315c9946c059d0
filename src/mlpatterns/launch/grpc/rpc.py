"""One call on a stream: what has come of it, the turn in which it is answered, and the way its answer goes out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Protocol

from jh2.errors import ErrorCodes

from mlpatterns.errors import PredictionError
from mlpatterns.launch.grpc.answer import ENCODINGS, HEAD, Header, Metadata, refused_head, trailers
from mlpatterns.launch.grpc.framing import Assembly, framed
from mlpatterns.launch.grpc.head import Head, Refused
from mlpatterns.launch.grpc.sending import Sender
from mlpatterns.launch.grpc.served import Served
from mlpatterns.oip.compression import decompress
from mlpatterns.oip.status import grpc_status, retry_pushback
from mlpatterns.server.grpc_call import Answering

__all__ = ["Rpc"]

log = logging.getLogger("mlpatterns")

ENCODED = frozenset(("gzip", "deflate"))


class Way(Protocol):
    """The connection of a call.

    Attributes:
        sender: the way out.
    """

    served: Served
    loop: asyncio.AbstractEventLoop
    sender: Sender

    def reset(self, stream: int, code: ErrorCodes) -> None:
        """Ends a stream at once."""

    def closed(self, stream: int) -> None:
        """A call has ended."""


class Rpc:
    """A call, as `server.grpc_call.Incoming` describes it.

    Args:
        answering: what answers it, once its message is whole.

    Attributes:
        held: bytes that `Buffers` counts for it, until a GrpcCall takes them over.
        whole: the client has sent all that it will.
        ended: the answer is complete, or nobody waits for one.
    """

    __slots__ = ("_answering", "_assembly", "_begun", "_connection", "_head", "_stream", "_task", "deadline", "ended",
                 "held", "whole")  # fmt: skip

    def __init__(self, connection: Way, stream: int, head: Head, answering: Answering) -> None:
        self._connection, self._stream, self._head, self._answering = connection, stream, head, answering
        self._assembly = Assembly(connection.served.buffers, self)
        self._task: asyncio.Task[None] | None = None
        self.held = 0
        self.whole = self.ended = self._begun = False
        self.deadline = None if head.timeout is None else monotonic() + head.timeout

    @property
    def path(self) -> str:
        return self._head.path

    @property
    def metadata(self) -> Sequence[Header]:
        return self._head.metadata

    @property
    def headers(self) -> Mapping[bytes, bytes]:
        return self._head.headers

    # ---- what comes ----

    def take(self, data: bytes) -> None:
        """More of the message has come."""
        try:
            self._assembly.take(data)
        except (Refused, PredictionError) as error:
            self.refuse(error)

    def finish(self) -> None:
        """All of it has come: now it is answered."""
        self.whole = True
        if self.ended:
            return
        try:
            message = self._assembly.message()
        except Refused as error:
            self.refuse(error)
            return
        self._task = asyncio.get_running_loop().create_task(self._run(message))

    async def _run(self, message: bytes) -> None:
        try:
            if self._assembly.packed:
                message = await self._unpacked(message)
            await self._answering(self, message)
        except (Refused, PredictionError) as error:
            self.refuse(error)
        except asyncio.CancelledError:
            if not self.ended:
                raise
        except Exception:
            log.exception("the server failed")
            self.refuse(Refused("INTERNAL", "the server failed to answer; the fault is not in the request"))
        finally:
            if not self.ended:
                self.reset(ErrorCodes.CANCEL)
            self._task = None

    async def _unpacked(self, message: bytes) -> bytes:
        encoding, served = self._head.encoding, self._connection.served
        limits = served.buffers.limits
        if encoding in ("", "identity"):
            raise Refused("INTERNAL", "the message says that it is packed, and grpc-encoding does not say how")
        if encoding not in ENCODED:
            raise Refused("UNIMPLEMENTED", "grpc-encoding must be gzip, deflate or identity")
        unpacked = await served.offload(
            lambda: decompress(message, encoding, limits.max_body_bytes, limits.max_expansion)
        )
        served.buffers.hold(self, len(unpacked))
        return unpacked

    def leave(self) -> None:
        """The client has left: what is done for it ends."""
        self._closed()
        if self._task is not None:
            self._task.cancel()

    # ---- what goes out ----

    async def answer(self, message: bytes, trailing: Metadata, once: Metadata) -> None:
        """The one message, and OK.

        Args:
            once: metadata that does not come again.
        """
        if self.ended:
            return
        waits = self._connection.sender.answer(self._stream, framed(message), trailers("OK", "", trailing, once))
        if waits is not None:
            await self._until_sent(waits)
        self._answered()

    async def status(self, status: str, details: str, trailing: Metadata = (), once: Metadata = ()) -> None:
        """The end, with a status."""
        if not self.ended:
            self._end(trailers(status, details, trailing, once))

    async def message(self, message: bytes) -> None:
        """One of several messages; returns when the connection has taken it."""
        if self.ended:
            return
        if not self._begun:
            self._begun = True
            self._connection.sender.head(self._stream, HEAD)
        waits = self._connection.sender.message(self._stream, framed(message))
        if waits is not None:
            await self._until_sent(waits)

    def refuse(self, error: Refused | PredictionError) -> None:
        """Ends a call that goes no further."""
        if self.ended:
            return
        if isinstance(error, PredictionError):
            self._end(trailers(grpc_status(error.code), str(error), retry_pushback(error)))
        else:
            self._end(
                trailers(error.status, error.details, (ENCODINGS,) if error.status == "UNIMPLEMENTED" else ()),
                HEAD if error.http == 200 else refused_head(error.http),
            )

    def reset(self, code: ErrorCodes) -> None:
        """Ends the stream without an answer."""
        if not self.ended:
            self._closed()
            self._connection.reset(self._stream, code)

    def _end(self, fields: list[Header], head: list[Header] = HEAD) -> None:
        self._connection.sender.head(self._stream, fields if self._begun else [*head, *fields], end=True)
        self._answered()

    async def _until_sent(self, waits: asyncio.Future[None]) -> None:
        """Waits for a client that reads slowly, until the call has no time left."""
        seconds = self._connection.served.patience
        if self.deadline is not None:
            seconds = min(seconds, self.deadline - monotonic())
        done, _ = await asyncio.wait((waits,), timeout=max(0.0, seconds))
        if not done:
            self.reset(ErrorCodes.CANCEL)

    def _answered(self) -> None:
        if self.ended:
            return
        self._closed()
        if not self.whole:  # it need not send the rest: RFC 9113, 8.1
            self._connection.reset(self._stream, ErrorCodes.NO_ERROR)

    def _closed(self) -> None:
        if not self.ended:
            self.ended = True
            if self.held:
                self._connection.served.buffers.release(self)
            self._connection.closed(self._stream)
