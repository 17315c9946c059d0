"""Decides which request headers may be passed on to pieces and to other servers; credentials never are."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from mlpatterns.user_errors import CompositionError

__all__ = ["checked_headers", "is_credential", "may_be_sent"]

_CREDENTIAL = re.compile(r"authoriz|authentic|cookie|api[-_]?key|token|secret|passw|credential|session")
_OURS = {
    "accept-encoding", "connection", "content-encoding", "content-length", "content-type", "expect", "host",
    "inference-header-content-length", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade",
    "x-mlp-context", "x-request-timeout-ms",
}  # fmt: skip
_HEADER = re.compile(r"(?!grpc-)[a-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110, 5.6.2; gRPC reserves the prefix grpc-


def is_credential(name: str) -> bool:
    """Whether the header `name`, in lower case, may carry credentials."""
    return _CREDENTIAL.search(name) is not None


@lru_cache(maxsize=256)  # more than the headers that an app forwards
def may_be_sent(name: str) -> bool:
    """Whether the header `name`, in lower case, may be sent to another server: it carries no credentials and does not
    belong to the connection."""
    return not is_credential(name) and name not in _OURS and _HEADER.fullmatch(name) is not None


def checked_headers(names: Iterable[str], verb: str) -> tuple[str, ...]:
    """Checks the names of headers and returns them in lower case.

    Args:
        verb: what the caller does with the headers, for the error text: ``"forwarded"`` or ``"read"``.

    Raises:
        CompositionError: a header may carry credentials, belongs to the connection, or has an invalid name.
    """
    lowered = tuple(name.lower() for name in names)
    for name in lowered:
        if is_credential(name):
            raise CompositionError(f"the header {name!r} may carry credentials, which are never {verb}")
        if not may_be_sent(name):
            raise CompositionError(f"the header {name!r} cannot be {verb}")
    return lowered
