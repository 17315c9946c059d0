"""What a piece offers beside predict: queries, commands and pages, which the server maps to paths."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Literal

from msgspec import Struct

__all__ = ["Caller", "Operation", "Streamed"]


class Caller(Struct, frozen=True):
    """Who calls an operation: for the audit, for idempotency, for access to one's own job.

    Attributes:
        principal: the name behind the credentials, or None.
        headers: lower-case, those that the operation may read.
        deadline: in seconds of the monotonic clock.
    """

    principal: str | None
    headers: Mapping[str, str]
    deadline: float


class Operation(Struct, frozen=True):
    """What a piece offers beside predict, without knowing HTTP: the server maps, authorises and documents it.

    Attributes:
        name: words and `{fields}` of the input with slashes between them: ``weights``, ``job/{id}``, ``health/all``.
        kind: a query reads, a command changes something, a page is a query whose output is HTML. One piece may have a
            query and a command of the same name.
        access: whether it is for every user, or for who has the admin token.
        input: a record that msgspec can decode, or NoneType; of a command without `{fields}`, anything it can decode.
        output: what msgspec can encode; the handler may give it as a `Streamed`.
        handler: from input and caller to output, raising PredictionErrors; its docstring goes into the documents.
    """

    name: str
    kind: Literal["query", "command", "page"]
    access: Literal["public", "token"]
    input: type
    output: type
    handler: Callable[[Any, Caller], Awaitable[Any]]


class Streamed(Struct, frozen=True):
    """The JSON of an operation's output, sent in parts: what is too large to be held."""

    chunks: AsyncIterator[bytes]
