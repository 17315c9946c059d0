"""The log of predictions: one record a prediction, and what was learned of it later.

A `LogSink` is written to: a file of JSON lines, standard output. A `LogStore` is a sink that is read too and keeps
feedback: what must read (a monitor, an experiment) takes nothing less.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

from msgspec import Struct

from mlpatterns.context import Note, Purpose

__all__ = ["Feedback", "FeedbackPage", "LogPage", "LogQuery", "LogSink", "LogStore", "Record", "Role", "Status"]

Role = Literal["primary", "shadow"]
Status = Literal["done", "accepted", "failed", "cancelled"]


class Record(Struct, frozen=True, omit_defaults=True):
    """One prediction, as JSON can say it.

    Attributes:
        prediction_id: that of the caller's context; a mirrored request has the id of the one that it mirrors, and the
            role ``shadow``.
        at: when it began, in seconds since 1970.
        path: of the piece that logged it.
        seconds: that it took.
        model, version, identity: of who answered; empty where nobody did.
        code, error: of a failure.
        inputs, outputs: tensors by name as nested lists, or None where the record was not sampled or the tensor is one
            that is not kept.
        notes: of all pieces, in order: exposures are among them.
    """

    prediction_id: str
    at: float
    path: str
    status: Status
    seconds: float
    model: str = ""
    version: str = ""
    identity: str | None = None
    role: Role = "primary"
    purpose: Purpose = "request"
    caller_id: str | None = None
    principal: str | None = None
    degraded: bool = False
    code: str = ""
    error: str = ""
    inputs: Mapping[str, Any] | None = None
    outputs: Mapping[str, Any] | None = None
    notes: tuple[Note, ...] = ()


class Feedback(Struct, frozen=True):
    """What was learned of a prediction later: its true label, whether it was of use.

    Attributes:
        name: of what is told: ``label``, ``converted``. The same name for the same prediction, told again, replaces
            what was told before.
        at: when it was told, in seconds since 1970.
        by: the principal who told it, or None.
    """

    prediction_id: str
    name: str
    value: bool | int | float | str
    at: float
    by: str | None = None


class LogQuery(Struct, frozen=True):
    """Which records: all that fit everything that is said.

    Attributes:
        after: those written after the place where an earlier page ended.
        since, until: by `at`; `until` itself is left out.
        path: of the piece that logged, or of one above it: ``online_ab`` is all that the system logged.
        limit: of one page.
        newest: the last `limit` of those that fit, instead of the first; the page is in order all the same.
    """

    after: int = 0
    since: float | None = None
    until: float | None = None
    path: str | None = None
    prediction_id: str | None = None
    purpose: Purpose | None = None
    role: Role | None = None
    model: str | None = None
    version: str | None = None
    limit: int = 1000
    newest: bool = False


class LogPage(Struct, frozen=True):
    """Records in the order in which they were written; `after` is the place where the page ends."""

    records: tuple[Record, ...]
    after: int


class FeedbackPage(Struct, frozen=True):
    """Feedback in the order in which it was told last; `after` is the place where the page ends."""

    feedback: tuple[Feedback, ...]
    after: int


class LogSink(Protocol):
    """Opening one fails on a malformed URL only."""

    async def write(self, records: Sequence[Record]) -> None:
        """Writes records, all or none; when it returns they outlive the process.

        Args:
            records: made when they are looked at, which takes time: a sink does that in a thread of its own.

        Raises:
            Unavailable: the sink does not take them now.
        """
        ...

    async def close(self) -> None: ...


class LogStore(LogSink, Protocol):
    """A sink that is read too. Every method raises Unavailable where the store does not answer."""

    async def read(self, query: LogQuery) -> LogPage: ...

    async def tell(self, feedback: Sequence[Feedback]) -> None:
        """Keeps feedback; of the same prediction and name the last one told stays."""
        ...

    async def told(self, after: int = 0, limit: int = 1000, prediction_id: str | None = None) -> FeedbackPage: ...
