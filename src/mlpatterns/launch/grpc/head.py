"""The head of a gRPC call: what HTTP/2's headers say, and what about them is refused.

After gRPC's own description, PROTOCOL-HTTP2.md, and RFC 9113, 8.2 and 8.3.
"""

from __future__ import annotations

import re
from binascii import Error as NoBase64
from binascii import a2b_base64
from collections.abc import Mapping, Sequence

from msgspec import Struct

__all__ = ["Head", "Malformed", "Refused", "read_head", "seconds_of"]

Header = tuple[bytes, bytes]

_NAME = re.compile(rb"[0-9a-z!#$%&'*+.^_`|~-]+").fullmatch  # a token of RFC 9110 with no capital
_VALUE = re.compile(rb"(?:[^\x00-\x20\x7f](?:[^\x00-\x08\x0a-\x1f\x7f]*[^\x00-\x20\x7f])?)?").fullmatch
_PSEUDO = frozenset((b":method", b":scheme", b":path", b":authority"))
_OF_HTTP_1 = frozenset((b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"))
_OF_GRPC = frozenset((b"te", b"content-type", b"grpc-timeout", b"grpc-encoding", b"grpc-accept-encoding"))
_TIMEOUT = re.compile(rb"([0-9]{1,8})([HMSmun])").fullmatch
_UNITS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_TYPES = ("application/grpc", "application/grpc+proto")


class Malformed(Exception):
    """It is no request of HTTP/2; its stream is reset."""


class Refused(Exception):
    """It is a request of HTTP/2, but none that gRPC allows, or its message is not.

    Args:
        status: the name of gRPC's.
        http: the status of HTTP.
    """

    def __init__(self, status: str, details: str, http: int = 200) -> None:
        super().__init__(details)
        self.status, self.details, self.http = status, details, http


class Head(Struct, frozen=True):
    """What a call begins with.

    Attributes:
        path: `/SERVICE/METHOD`.
        metadata: all names and values, in order; those of `-bin` decoded.
        headers: the same by name, the last of a repeated one.
        timeout: seconds from now, if the client has a deadline.
        encoding: how messages are packed that say that they are.
    """

    path: str
    metadata: Sequence[Header]
    headers: Mapping[bytes, bytes]
    timeout: float | None
    encoding: str


def read_head(fields: Sequence[Header]) -> Head:
    """The head that `fields` are, as HPACK gave them.

    Raises:
        Malformed, Refused: as they say.
    """
    pseudo: dict[bytes, bytes] = {}
    own: dict[bytes, bytes] = {}
    metadata: list[Header] = []
    for name, value in fields:
        if name in _PSEUDO:
            if name in pseudo or own or metadata:
                raise Malformed
            pseudo[name] = value
        elif name in _OF_HTTP_1 or _NAME(name) is None:
            raise Malformed
        elif name in _OF_GRPC:
            own[name] = value
        else:
            metadata.append((name, value))
        if _VALUE(value) is None:
            raise Malformed
    if any(name.endswith(b"-bin") for name, _ in metadata):
        metadata = [each for field in metadata for each in _decoded(*field)]
    path = _checked(pseudo, own)
    timeout = own.get(b"grpc-timeout")
    encoding = own.get(b"grpc-encoding", b"").decode("latin-1")
    return Head(path, metadata, dict(metadata), None if timeout is None else seconds_of(timeout), encoding)


def _checked(pseudo: dict[bytes, bytes], own: dict[bytes, bytes]) -> str:
    """The path, if all else is as gRPC wants it."""
    path = pseudo.get(b":path")
    if not path or not pseudo.get(b":scheme") or b":method" not in pseudo:
        raise Malformed
    if pseudo[b":method"] != b"POST":
        raise Refused("INTERNAL", "the method of a gRPC call is POST", 405)
    kind = own.get(b"content-type", b"").decode("latin-1").partition(";")[0].strip().lower()
    if kind not in _TYPES:
        raise Refused("INVALID_ARGUMENT", "the content-type must be application/grpc or application/grpc+proto", 415)
    if own.get(b"te") != b"trailers":
        raise Refused("INTERNAL", "a gRPC call has te: trailers, without which a proxy may have lost the status", 400)
    return path.decode("latin-1")


def seconds_of(timeout: bytes) -> float:
    """A `grpc-timeout` in seconds.

    Raises:
        Refused: it is none.
    """
    found = _TIMEOUT(timeout)
    if found is None:
        raise Refused("INVALID_ARGUMENT", "grpc-timeout must be at most eight digits and one of H, M, S, m, u, n")
    return int(found[1]) * _UNITS[found[2]]


def _decoded(name: bytes, value: bytes) -> list[Header]:
    """One field as metadata; one of `-bin` may hold several values, in base64 with or without padding."""
    if not name.endswith(b"-bin"):
        return [(name, value)]
    try:
        return [(name, _from_base64(part)) for part in value.split(b",")]
    except NoBase64:
        raise Refused("INVALID_ARGUMENT", f"{name.decode()[:64]} must be base64") from None


def _from_base64(text: bytes) -> bytes:
    bare = text.strip(b" =")
    return a2b_base64(bare + b"=" * (-len(bare) % 4), strict_mode=True)
