"""Content codings of RFC 9110: gzip and deflate, within bounds.

A bomb dies early: no more is ever unpacked than the bound plus one byte, however much a body claims to hold.
"""

from __future__ import annotations

import zlib

from mlpatterns.errors import InvalidInput, TooLarge, Unsupported

__all__ = ["compress", "decompress"]

GZIP, ZLIB, RAW = 31, 15, -15  # zlib's wbits for each container
LEVEL = 1  # tensors compress little more at higher levels, and each costs much more time
PIECE = 64 * 1024  # bytes given to zlib at a time, so that what follows a gzip member is never copied far
STEP = 1024 * 1024  # bytes unpacked at a time, since zlib holds twice as much
MOST_MEMBERS = 1024  # of one gzip body: each costs time even when it holds nothing
FREE = 16 * 1024 * 1024  # bytes that any body may become: tensors of zeros shrink a thousandfold, and who reads bodies
# counts what they become among the bytes that it holds
WORTHWHILE = 1024  # bytes below which compressing costs more than it saves


class _Larger(Exception):
    """A body becomes more than it may."""


def decompress(body: bytes, encoding: str, max_bytes: int, max_expansion: int) -> bytes:
    """The body behind a `Content-Encoding`.

    Args:
        max_bytes: that it may become.
        max_expansion: times its own size that it may become, if that is over 16 MiB.

    Raises:
        Unsupported: the coding is not gzip, deflate (zlib or raw) or identity.
        TooLarge: it becomes larger than it may.
        InvalidInput: it is corrupt, cut short, or followed by something else.
    """
    coding = encoding.strip().lower()
    if coding in ("", "identity"):
        return body
    if coding not in ("gzip", "x-gzip", "deflate"):
        raise Unsupported("the Content-Encoding must be gzip, deflate or identity")
    most = min(max_bytes, max(max_expansion * len(body), FREE))
    try:
        return _gunzip(body, most) if coding != "deflate" else _inflate(body, most)
    except _Larger:
        raise TooLarge(
            f"the body becomes larger than {most} bytes when it is decompressed; this server accepts no more of one "
            "of its size: send it in parts, or not compressed"
        ) from None
    except zlib.error:
        raise InvalidInput(f"the body is not valid {coding}") from None


def compress(body: bytes, accept_encoding: str) -> tuple[bytes, str | None]:
    """The body in the coding that an `Accept-Encoding` likes best, and its name; None if it stays as it is.

    gzip goes before deflate (zlib) where both are liked alike. Below 1 KiB a body stays as it is if it may.
    """
    liked = _qualities(accept_encoding)
    others = liked.get("*", 0.0)
    gzip, deflate = (liked.get(name, others) for name in ("gzip", "deflate"))
    plain = liked.get("identity", 0.0 if liked.get("*") == 0.0 else None)
    best = max(gzip, deflate)
    if best == 0.0 or best < (plain or 0.0) or (len(body) < WORTHWHILE and plain != 0.0):
        return body, None
    engine = zlib.compressobj(LEVEL, zlib.DEFLATED, GZIP if gzip == best else ZLIB)
    return engine.compress(body) + engine.flush(), "gzip" if gzip == best else "deflate"


def _gunzip(body: bytes, most: int) -> bytes:
    """All members of a gzip body, one after the other (RFC 1952, 2.2)."""
    parts: list[bytes] = []
    position = members = 0
    while position < len(body) or members == 0:
        members += 1
        if members > MOST_MEMBERS:
            raise InvalidInput(f"the gzip body has more than {MOST_MEMBERS} members")
        position, most = _member(body, position, GZIP, most, parts)
    return b"".join(parts)


def _inflate(body: bytes, most: int) -> bytes:
    """A zlib stream (RFC 1950), or the raw one (RFC 1951) that some clients call deflate."""
    parts: list[bytes] = []
    zlib_head = len(body) > 1 and body[0] & 0x0F == 8 and int.from_bytes(body[:2], "big") % 31 == 0
    position, _ = _member(body, 0, ZLIB if zlib_head else RAW, most, parts)
    if position < len(body):
        raise InvalidInput("the body goes on after the end of its deflate stream")
    return b"".join(parts)


def _member(body: bytes, position: int, container: int, most: int, parts: list[bytes]) -> tuple[int, int]:
    """Unpacks one stream into `parts`; returns where it ended and how many bytes there may still be."""
    engine = zlib.decompressobj(container)
    view = memoryview(body)
    while not engine.eof:
        piece = view[position : position + PIECE]
        part = engine.decompress(piece, min(most + 1, STEP))
        if not piece and not part and not engine.eof:
            raise InvalidInput("the compressed body is cut short")
        most -= len(part)
        if most < 0:
            raise _Larger
        parts.append(part)
        position += len(piece) - len(engine.unconsumed_tail) - len(engine.unused_data)
    return position, most


def _qualities(header: str) -> dict[str, float]:
    """The codings of an `Accept-Encoding` and how much each is liked; a malformed weight counts as not at all."""
    found: dict[str, float] = {}
    for entry in header.lower().split(","):
        coding, _, weight = entry.partition(";")
        if coding.strip():
            found[coding.strip()] = _quality(weight)
    return found


def _quality(weight: str) -> float:
    if not weight.strip():
        return 1.0
    name, _, number = weight.partition("=")
    try:
        value = float(number)
    except ValueError:
        return 0.0
    return value if name.strip() == "q" and 0.0 <= value <= 1.0 else 0.0
