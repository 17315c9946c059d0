"""What a connection may send that is no call: frames that cost more to take than to send are counted before they are.

jh2 bounds the frames of one header block (64) and the headers that come of it; nothing else. It takes a frame only when
it is whole, and whole before it sees that it is too long; it answers every PING and SETTINGS, and remembers every
setting that it ever heard of. So the heads of frames are looked at here first: nine bytes each, and nothing is kept.
"""

from __future__ import annotations

from time import monotonic

from jh2.errors import ErrorCodes

__all__ = ["MOST_FRAME_BYTES", "Calm", "Watch"]

PREFACE = 24  # bytes that a client begins with, before its first frame
FRAME = 9  # bytes of a frame's head
MOST_FRAME_BYTES = 64 * 1024  # of one frame: as much may wait uncounted on each connection
A_TURN = 64  # frames taken before others get their turn
SMALL = 512  # bytes of DATA that are worth a frame

# (how many at once, how many a second). A call brings some with it: acknowledgements, windows, the end of its stream.
QUIET, RESETS = (600.0, 200.0), (1000.0, 33.0)
WITH_A_CALL = 3.0
SETTING = 6  # bytes of one

DATA, HEADERS, RST_STREAM, SETTINGS, CONTINUATION = 0, 1, 3, 4, 9
END_STREAM, END_HEADERS = 1, 4


class Calm(Exception):
    """A connection that must end, with the code that says why."""

    def __init__(self, code: ErrorCodes) -> None:
        super().__init__(code.name)
        self.code = code


class Bucket:
    """So many at once, and so many a second."""

    __slots__ = ("_left", "_most", "_rate", "_since")

    def __init__(self, most: float, rate: float) -> None:
        self._left = self._most = most
        self._rate, self._since = rate, monotonic()

    def spend(self, count: float) -> None:
        """Takes some; more than there are is too much.

        Raises:
            Calm: with ENHANCE_YOUR_CALM.
        """
        self._left -= count
        if self._left < 0:
            now = monotonic()
            self._left = min(self._most, self._left + (now - self._since) * self._rate)
            self._since = now
            if self._left < 0:
                raise Calm(ErrorCodes.ENHANCE_YOUR_CALM)

    def earn(self, count: float) -> None:
        self._left = min(self._most, self._left + count)


class Watch:
    """Follows the frames of one connection.

    Args:
        most_block: bytes of one header block, as it is packed.
    """

    __slots__ = ("_block", "_first", "_most_block", "_partial", "_resets", "_skip", "quiet")

    def __init__(self, most_block: int) -> None:
        self._skip, self._partial = PREFACE, b""
        self._most_block, self._block = most_block, 0
        self._first = True
        self.quiet, self._resets = Bucket(*QUIET), Bucket(*RESETS)

    @property
    def greeted(self) -> bool:
        """Whether the preface is over: its SETTINGS have begun."""
        return not self._first

    def look(self, data: bytes) -> int:
        """Goes over the next bytes; how many of them may be taken in this turn. The rest must be shown again.

        Raises:
            Calm: the connection must end.
        """
        end, at, frames = len(data), self._skip, 0
        if self._partial:
            return self._join(data)
        while at + FRAME <= end:
            if frames == A_TURN:
                self._skip = 0
                return at
            frames += 1
            at += FRAME + self._frame(data, at)
        if at < end:
            self._partial, self._skip = data[at:], 0
        else:
            self._skip = at - end
        return end

    def _join(self, data: bytes) -> int:
        """Completes a head of which only some bytes came before."""
        missing = FRAME - len(self._partial)
        head = self._partial + data[:missing]
        if len(head) < FRAME:
            self._partial = head
            return len(data)
        self._partial = b""
        self._skip = missing + self._frame(head, 0)
        return self.look(data)

    def _frame(self, data: bytes, at: int) -> int:
        """Counts one frame; the bytes of its payload."""
        length, kind, flags = int.from_bytes(data[at : at + 3], "big"), data[at + 3], data[at + 4]
        if length > MOST_FRAME_BYTES:
            raise Calm(ErrorCodes.FRAME_SIZE_ERROR)
        if self._first:
            if kind != SETTINGS:
                raise Calm(ErrorCodes.PROTOCOL_ERROR)
            self._first = False
        if kind in (HEADERS, CONTINUATION):
            self._header(kind, flags, length)
        elif kind == DATA:
            if length < SMALL and not flags & END_STREAM:
                self.quiet.spend(1.0)
        elif kind == RST_STREAM:
            self._resets.spend(1.0)
        else:
            self.quiet.spend(1.0 + length // SETTING if kind == SETTINGS else 1.0)
        return length

    def _header(self, kind: int, flags: int, length: int) -> None:
        if kind == HEADERS:
            self._block = 0
            self.quiet.earn(WITH_A_CALL)
        else:
            self.quiet.spend(1.0)
        self._block += length
        if self._block > self._most_block:
            raise Calm(ErrorCodes.ENHANCE_YOUR_CALM)
