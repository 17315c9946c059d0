"""The log of predictions: one record for each prediction, and the feedback that comes later.

A `LogSink` can only be written, such as a file of JSON lines or standard output. A `LogStore` can also be read, and
keeps feedback. A piece that reads the log (a monitor, an experiment) needs a `LogStore`.
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
    """One prediction, in values that JSON can express.

    Attributes:
        prediction_id: from the caller's context. A mirrored request has the id of the original request, and the role
            ``shadow``.
        at: when the prediction began, in seconds since 1970.
        path: the path of the piece that logged it.
        seconds: how long the prediction took.
        model, version, identity: name, version and identity of the model that answered; empty if none answered.
        code, error: the code and the text of the error, if the prediction failed.
        inputs, outputs: tensors by name as nested lists, or None if the record was not sampled or the tensor is not
            one of those to log.
        notes: the notes of all pieces, in order; they include exposures.
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
    """A later fact about a prediction: its true label, or whether it was useful.

    Attributes:
        name: such as ``label`` or ``converted``. New feedback with the same name replaces earlier feedback for the same
            prediction.
        at: when it was given, in seconds since 1970.
        by: the principal who gave it, or None.
    """

    prediction_id: str
    name: str
    value: bool | int | float | str
    at: float
    by: str | None = None


class LogQuery(Struct, frozen=True):
    """Selects the records that meet all conditions.

    Attributes:
        after: the position at which an earlier page ended; only records written after it are selected.
        since, until: bounds of `at`; `until` itself is excluded.
        path: the path of the piece that logged, or of a piece around it. ``online_ab`` selects all of its system.
        limit: the largest number of records in a page.
        newest: select the last `limit` matching records instead of the first; the order of the page is the same.
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
    """Records in the order in which they were written; `after` is the position at which the page ends."""

    records: tuple[Record, ...]
    after: int


class FeedbackPage(Struct, frozen=True):
    """Feedback in the order in which it was last given; `after` is the position at which the page ends."""

    feedback: tuple[Feedback, ...]
    after: int


class LogSink(Protocol):
    """Takes records of predictions. Opening a sink fails only if the URL is malformed."""

    async def write(self, records: Sequence[Record]) -> None:
        """Writes all records or none. After the return, they survive the end of the process, except in memory.

        Args:
            records: they are built only when they are read. This takes time, so read them in a thread.

        Raises:
            Unavailable: the sink cannot write them now.
        """
        ...

    async def close(self) -> None: ...


class LogStore(LogSink, Protocol):
    """A sink that can also be read. Every method raises Unavailable if the store does not answer."""

    async def read(self, query: LogQuery) -> LogPage: ...

    async def add_feedback(self, feedback: Sequence[Feedback]) -> None:
        """Stores feedback. For each prediction and name, the latest feedback replaces earlier feedback."""
        ...

    async def read_feedback(
        self, after: int = 0, limit: int = 1000, prediction_id: str | None = None
    ) -> FeedbackPage: ...
