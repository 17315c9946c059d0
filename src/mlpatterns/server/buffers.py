"""Reads request bodies, and limits the bytes of requests and answers that one worker holds in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

from mlpatterns.errors import Overloaded, TooLarge
from mlpatterns.oip.compression import decompress
from mlpatterns.oip.limits import RequestLimits
from mlpatterns.server.exchange import Call, ClientGone, Exchange

__all__ = ["SMALL_ANSWER", "Buffers"]

SMALL_ANSWER = 64 * 1024  # bytes; an answer up to this size is never refused, and is not counted


class Buffers:
    """Reads request bodies. It limits the size of each body, and the total size of all bodies and answers.

    Args:
        limits: the limits for one body, both as it arrives and decompressed.
        most_together: the most bytes of all bodies that are read or processed and all answers that are not yet sent.
        offload: runs decompression in a thread, away from the event loop.

    Attributes:
        held: the number of bytes that count against `most_together` now.
    """

    def __init__(self, limits: RequestLimits, most_together: int, offload: Callable[..., Awaitable[bytes]]) -> None:
        self.limits, self.most, self.most_together = limits, limits.max_body_bytes, most_together
        self._offload = offload
        self.held = 0

    async def read(self, call: Call) -> bytes:
        """Reads the body of `call`, and decompresses it.

        Raises:
            TooLarge: the body, or its declared length, is larger than the limit for one body.
            Overloaded: this body and the other counted bytes together exceed their limit.
            Unsupported: the content encoding of the body is not known.
            InvalidInput: the body cannot be decompressed.
            ClientGone: the client left before the body was complete.
        """
        declared = call.headers.get(b"content-length")
        if declared is not None and len(declared) > 6:  # a megabyte or more: refuse before the first byte
            self._check(int(declared) if declared.isdigit() else 0)
        message = await call.receive()
        body: bytes = message.get("body", b"")
        if message.get("more_body") or message["type"] != "http.request":
            body = await self._rest(call, message)
        if len(body) > self.most:
            self._check(len(body))
        call.body = body
        encoding = call.headers.get(b"content-encoding")
        if encoding is None:
            return body
        plain = await self.unpacked(body, encoding.decode("latin-1"))
        self.hold(call, len(plain))  # decompression may turn a few kilobytes into megabytes
        return plain

    async def unpacked(self, body: bytes, encoding: str) -> bytes:
        """Decompresses `body` in a thread. Raises the errors of `decompress`."""
        limits = self.limits
        return await self._offload(lambda: decompress(body, encoding, limits.max_body_bytes, limits.max_expansion))

    async def _rest(self, call: Call, message: Any) -> bytes:
        body = bytearray()
        while True:
            if message["type"] != "http.request":
                raise ClientGone
            chunk = message.get("body", b"")
            self._check(len(body) + len(chunk))
            body += chunk
            self.held += len(chunk)
            call.held += len(chunk)
            if not message.get("more_body"):
                return bytes(body)
            message = await call.receive()

    def hold(self, call: Exchange, size: int) -> None:
        """Counts a body of `size` bytes that has arrived completely.

        Raises:
            TooLarge, Overloaded: as in `read`.
        """
        self._check(size)
        self.held += size
        call.held += size

    def hold_answer(self, call: Exchange, size: int) -> None:
        """Counts an answer of `size` bytes until it is sent. Answers of at most `SMALL_ANSWER` bytes are not counted.

        Raises:
            Overloaded: with the bytes of other requests, this answer would exceed the limit. If other requests hold no
                bytes, an answer of any size is accepted.
        """
        if size <= SMALL_ANSWER:
            return
        others = self.held - call.held
        if others and others + size > self.most_together:
            raise self._overloaded()
        self.held += size
        call.held += size
        call.unsent += size

    async def counted(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Counts each chunk until the next one is sent, because the transport may still hold it until then.

        Chunks are never refused, because the head of their answer has already been sent.
        """
        before = 0
        try:
            async for chunk in chunks:
                self.held += len(chunk)
                before, sent = len(chunk), before
                try:
                    yield chunk
                finally:
                    self.held -= sent
        finally:
            self.held -= before

    def check_room(self) -> None:
        """Checks that the total is below its limit.

        Raises:
            Overloaded: the limit is reached.
        """
        if self.held >= self.most_together:
            raise self._overloaded()

    def release(self, call: Exchange) -> None:
        """Stops counting the body of a finished request now, and its answer when it has been sent."""
        self.held -= call.held - call.unsent
        if call.unsent:
            call.when_sent(partial(self._sent, call.unsent))
        call.held = call.unsent = 0

    def _sent(self, size: int) -> None:
        self.held -= size

    def _overloaded(self) -> Overloaded:
        return Overloaded("the server holds as many bytes of requests and answers as it may; try again", retry_after=1)

    def _check(self, size: int) -> None:
        if size > self.most:
            raise TooLarge(f"the body is larger than the {self.most} bytes that this server accepts")
        if self.held + size > self.most_together:
            raise self._overloaded()
