"""The bodies of requests: how they are read, and how many bytes of them there may be at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from mlpatterns.errors import Overloaded, TooLarge
from mlpatterns.oip.compression import decompress
from mlpatterns.oip.limits import Limits
from mlpatterns.server.exchange import Call, ClientGone, Exchange

__all__ = ["Buffers"]


class Buffers:
    """Reads bodies, each and all together within bounds.

    Args:
        limits: of one body, as it arrives and unpacked.
        most_together: bytes of all bodies that are being read or worked on.
        offload: takes unpacking off the event loop.
    """

    def __init__(self, limits: Limits, most_together: int, offload: Callable[..., Awaitable[bytes]]) -> None:
        self.limits, self.most, self.most_together = limits, limits.max_body_bytes, most_together
        self._offload = offload
        self.held = 0

    async def read(self, call: Call) -> bytes:
        """The body of `call`.

        Raises:
            TooLarge: it is, or says it is, larger than one body may be.
            Overloaded: together with the others it would be too much.
            Unsupported: it is packed in a way that is not known here.
            InvalidInput: it cannot be unpacked.
            ClientGone: the client left in between.
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
        self.hold(call, len(plain))  # a few kilobytes may have become megabytes
        return plain

    async def unpacked(self, body: bytes, encoding: str) -> bytes:
        """What is packed in `body`; raises as `decompress`."""
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
        """A body of `size` bytes has arrived whole.

        Raises:
            TooLarge, Overloaded: as `read`.
        """
        self._check(size)
        self.held += size
        call.held += size

    def release(self, call: Exchange) -> None:
        """The request is over: its body no longer counts."""
        self.held -= call.held
        call.held = 0

    def _check(self, size: int) -> None:
        if size > self.most:
            raise TooLarge(f"the body is larger than the {self.most} bytes that this server accepts")
        if self.held + size > self.most_together:
            raise Overloaded("the server holds as many request bodies as it can; try again", retry_after=1)
