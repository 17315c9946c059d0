"""The queries, commands and pages of a piece, which the server maps to HTTP paths."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Literal

from msgspec import Struct

__all__ = ["Caller", "Operation", "Streamed"]


class Caller(Struct, frozen=True):
    """The caller of an operation: for the audit log, for idempotency, for access to the caller's own jobs.

    Attributes:
        principal: the name that belongs to the credentials, or None.
        headers: the headers that the operation may read, with names in lower case.
        deadline: the time by which the answer must be ready, in seconds of the monotonic clock.
    """

    principal: str | None
    headers: Mapping[str, str]
    deadline: float


class Operation(Struct, frozen=True):
    """A query, a command or a page of a piece. The piece does not know HTTP: the server maps, authorises and documents
    it.

    Attributes:
        name: words and `{fields}` of the input, separated by slashes: ``weights``, ``job/{id}``, ``health/all``.
        kind: a query reads, a command changes something, a page is a query whose output is HTML. A piece may have a
            query and a command of the same name.
        access: ``public`` for every user, ``token`` for those who have the admin token.
        input: a record type that msgspec can decode, or NoneType. A command without `{fields}` may have any type that
            msgspec can decode.
        output: a type that msgspec can encode. The handler may return a `Streamed` in its place.
        handler: takes the input and the caller, and returns the output; it raises PredictionErrors. Its docstring goes
            into the API documentation.
    """

    name: str
    kind: Literal["query", "command", "page"]
    access: Literal["public", "token"]
    input: type
    output: type
    handler: Callable[[Any, Caller], Awaitable[Any]]


class Streamed(Struct, frozen=True):
    """The output of an operation as chunks of JSON, for an output that is too large to hold in memory.

    Attributes:
        chunks: the bytes of the JSON document, part by part.
    """

    chunks: AsyncIterator[bytes]
