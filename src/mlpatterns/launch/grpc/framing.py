"""A message of gRPC, put together from however many pieces HTTP/2 brings it in."""

from __future__ import annotations

from mlpatterns.errors import TooLarge
from mlpatterns.launch.grpc.head import Refused
from mlpatterns.server.exchange import Buffers, Holder

__all__ = ["PREFIX", "Assembly", "framed"]

PREFIX = 5  # bytes before each message: whether it is packed, and its length
ENOUGH = "a call of this method has one message"


class Assembly:
    """The one message of a call.

    What comes counts in `buffers` for `holder` as it comes; what is too large is refused at its prefix.
    """

    __slots__ = ("_buffers", "_got", "_holder", "_parts", "_prefix", "_size", "packed")

    def __init__(self, buffers: Buffers, holder: Holder) -> None:
        self._buffers, self._holder = buffers, holder
        self._size = -1  # until the prefix is whole
        self._got, self._prefix = 0, b""
        self._parts: list[bytes] = []
        self.packed = False

    def take(self, data: bytes) -> None:
        """More of it has come.

        Raises:
            Refused: it is no message, or a second one.
            TooLarge, Overloaded: it is more than one message, or all together, may be.
        """
        if self._size < 0:
            data = self._begun(self._prefix + data)
        if data:
            self._got += len(data)
            if self._got > self._size >= 0:
                raise Refused("UNIMPLEMENTED", ENOUGH)
            self._buffers.hold(self._holder, len(data))
            self._parts.append(data)

    def _begun(self, data: bytes) -> bytes:
        """What follows the prefix, when that is whole."""
        if len(data) < PREFIX:
            self._prefix = data
            return b""
        if data[0] > 1:
            raise Refused("INTERNAL", "the first byte of a message must be 0, or 1 if it is packed")
        self.packed, self._size = data[0] == 1, int.from_bytes(data[1:PREFIX], "big")
        most = self._buffers.most
        if self._size > most:
            raise TooLarge(f"the message is larger than max_body_bytes: {self._size} bytes, where {most} are accepted")
        self._buffers.check(self._size)
        return data[PREFIX:]

    def message(self) -> bytes:
        """The message, when nothing more comes.

        Raises:
            Refused: there is none, or it is cut short.
        """
        if self._got == self._size:
            return self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        if self._size < 0 and not self._prefix:
            raise Refused("UNIMPLEMENTED", ENOUGH)
        raise Refused("INTERNAL", "the message is cut short")


def framed(message: bytes) -> bytes:
    """A message as it goes out, never packed."""
    return b"\0%b%b" % (len(message).to_bytes(4, "big"), message)
