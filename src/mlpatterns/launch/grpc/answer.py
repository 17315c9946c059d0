"""What goes out around a gRPC answer's message: its headers, and the trailers with its status."""

from __future__ import annotations

import re
from binascii import b2a_base64
from functools import lru_cache

from jh2.hpack import NeverIndexedHeaderTuple

__all__ = ["ENCODINGS", "HEAD", "Header", "Metadata", "percent_encoded", "refused_head", "trailers"]

Header = tuple[bytes, bytes]
Metadata = tuple[Header, ...]

HEAD: list[Header] = [(b":status", b"200"), (b"content-type", b"application/grpc")]
ENCODINGS: Header = (b"grpc-accept-encoding", b"identity,deflate,gzip")

_NAMES = (
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
    "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
    "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
)  # fmt: skip
_STATUS: dict[str, Header] = {name: (b"grpc-status", b"%d" % number) for number, name in enumerate(_NAMES)}
_ESCAPED = re.compile(rb"[^\x20-\x24\x26-\x7e]")


def trailers(status: str, details: str, trailing: Metadata, once: Metadata = ()) -> list[Header]:
    """The fields after the last message.

    Args:
        status: the name of gRPC's.
        once: metadata whose values do not come again, so that neither side need remember them.
    """
    fields = list(_repeating(status, trailing))
    if details:
        fields.append(NeverIndexedHeaderTuple(b"grpc-message", percent_encoded(details)))
    for name, value in once:
        fields.append(NeverIndexedHeaderTuple(name, value))
    return fields


def refused_head(http: int) -> list[Header]:
    """The headers of an answer to what is no gRPC call."""
    return [(b":status", b"%d" % http), *HEAD[1:], *([(b"allow", b"POST")] if http == 405 else [])]


@lru_cache(maxsize=256)  # few versions, arms and states, each in every answer
def _repeating(status: str, trailing: Metadata) -> list[Header]:
    return [_STATUS[status], *((name, _written(name, value)) for name, value in trailing)]


def _written(name: bytes, value: bytes) -> bytes:
    return b2a_base64(value, newline=False).rstrip(b"=") if name.endswith(b"-bin") else value


def percent_encoded(details: str) -> bytes:
    """A sentence as `grpc-message` has it: UTF-8, of which only printable ASCII stands for itself."""
    return _ESCAPED.sub(lambda found: b"%%%02X" % found[0][0], details.encode("utf-8", "replace"))
