"""Content codings of RFC 9110: gzip and deflate, with limits on the decompressed size.

Decompression stops early for a decompression bomb: it never unpacks more than the limit plus one byte.
"""

from __future__ import annotations

import zlib

from mlpatterns.errors import InvalidInput, TooLarge, Unsupported

__all__ = ["compress", "decompress"]

GZIP, ZLIB, RAW = 31, 15, -15  # zlib's wbits for each container
LEVEL = 1  # higher levels hardly shrink tensors further, and take much more time
PIECE = 64 * 1024  # bytes given to zlib at a time, since zlib copies all of them that follow the end of a gzip member
STEP = 1024 * 1024  # bytes unpacked at a time, since zlib needs twice as much memory
MOST_MEMBERS = 1024  # of one gzip body; even an empty member takes time
# Any body may expand to this many bytes, whatever its own size, because tensors of zeros shrink a thousandfold. The
# caller counts the unpacked bytes among those that the server holds.
FREE = 16 * 1024 * 1024
WORTHWHILE = 1024  # bytes below which compressing costs more than it saves


class _Larger(Exception):
    """The decompressed body exceeds the limit."""


def decompress(body: bytes, encoding: str, max_bytes: int, max_expansion: int) -> bytes:
    """Decompresses a body.

    Args:
        encoding: the value of `Content-Encoding`.
        max_bytes: the most bytes of the decompressed body.
        max_expansion: how many times the size of the compressed body it may have. 16 MiB are always allowed, if
            `max_bytes` allows them.

    Raises:
        Unsupported: the coding is not gzip, deflate (zlib or raw) or identity.
        TooLarge: the decompressed body is larger than `max_bytes` or `max_expansion` allow.
        InvalidInput: the body is corrupt or truncated, has more than 1024 gzip members, or other bytes follow it.
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
            f"the decompressed body is larger than {most} bytes, the limit for a body of its size; send it in parts, "
            "or not compressed"
        ) from None
    except zlib.error:
        raise InvalidInput(f"the body is not valid {coding}") from None


def compress(body: bytes, accept_encoding: str) -> tuple[bytes, str | None]:
    """Compresses a body with the coding that has the highest weight in an `Accept-Encoding`.

    With equal weights it prefers gzip to deflate (zlib), and both to identity. It compresses a body below 1 KiB only if
    the header forbids identity.

    Returns:
        the body and the name of its coding; None if the body is unchanged.
    """
    weights = _qualities(accept_encoding)
    others = weights.get("*", 0.0)
    gzip, deflate = (weights.get(name, others) for name in ("gzip", "deflate"))
    plain = weights.get("identity", 0.0 if weights.get("*") == 0.0 else None)
    best = max(gzip, deflate)
    if best == 0.0 or best < (plain or 0.0) or (len(body) < WORTHWHILE and plain != 0.0):
        return body, None
    engine = zlib.compressobj(LEVEL, zlib.DEFLATED, GZIP if gzip == best else ZLIB)
    return engine.compress(body) + engine.flush(), "gzip" if gzip == best else "deflate"


def _gunzip(body: bytes, most: int) -> bytes:
    """Decompresses all members of a gzip body, one after the other (RFC 1952, 2.2)."""
    parts: list[bytes] = []
    position = members = 0
    while position < len(body) or members == 0:
        members += 1
        if members > MOST_MEMBERS:
            raise InvalidInput(f"the gzip body has more than {MOST_MEMBERS} members")
        position, most = _member(body, position, GZIP, most, parts)
    return b"".join(parts)


def _inflate(body: bytes, most: int) -> bytes:
    """Decompresses a zlib stream (RFC 1950), or the raw deflate stream (RFC 1951) that some clients send."""
    parts: list[bytes] = []
    zlib_head = len(body) > 1 and body[0] & 0x0F == 8 and int.from_bytes(body[:2], "big") % 31 == 0
    position, _ = _member(body, 0, ZLIB if zlib_head else RAW, most, parts)
    if position < len(body):
        raise InvalidInput("other bytes follow the end of the body's deflate stream")
    return b"".join(parts)


def _member(body: bytes, position: int, container: int, most: int, parts: list[bytes]) -> tuple[int, int]:
    """Unpacks one stream into `parts`. Returns the position of its end, and how many bytes may still be unpacked."""
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
    """The codings of an `Accept-Encoding` with their weights; a malformed weight counts as 0."""
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
