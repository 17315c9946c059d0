"""Feedback: what becomes known about a prediction later. The prediction's caller posts it, and the log keeps it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated

from msgspec import Meta, Struct

from mlpatterns.errors import InvalidInput, NotFound, TooLarge, Unavailable, Unsupported
from mlpatterns.ids import made_at
from mlpatterns.pieces.prediction_log.queue import LogQueue
from mlpatterns.predictor import Caller, Operation, Runtime
from mlpatterns.stores.log import Feedback, LogQuery, LogStore

__all__ = ["FeedbackOperations"]

log = logging.getLogger("mlpatterns")

MOST = 1000  # pieces of feedback in one command
LONGEST, LARGEST = 1000, 2**53  # characters of a text; the largest integer that JSON carries exactly everywhere
FLUSH_SECONDS, LOOKS, PAUSE = 1.0, 4, 0.25  # enough for another process to write a record from its queue
RECENT = 5.0  # seconds for which the record of a prediction may still be in a queue


class NewFeedback(Struct, frozen=True, forbid_unknown_fields=True):
    """One piece of feedback; `name` is the meaning of the value, such as ``label`` or ``converted``."""

    prediction_id: Annotated[str, Meta(min_length=1, max_length=256)]
    name: Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")]
    value: bool | int | float | str


class FeedbackQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """The id of a prediction."""

    id: str


class FeedbackTaken(Struct, frozen=True):
    """How many pieces of feedback were stored."""

    taken: int


class FeedbackOperations:
    """The feedback operations of a log. A caller can access only the predictions of its own principal."""

    def __init__(self) -> None:
        self._store: LogStore | None = None
        self.operations = (
            Operation("feedback", "command", "public", NewFeedback | list[NewFeedback], FeedbackTaken, self._tell),  # type: ignore[arg-type]
            Operation("feedback/{id}", "query", "public", FeedbackQuery, list[Feedback], self._show),
        )

    def open(self, store: LogStore | None, queue: LogQueue, runtime: Runtime) -> None:
        self._store, self._queue, self._path, self._clock = store, queue, runtime.path, runtime.clock
        self._counter = runtime.metrics.counter(
            "mlpatterns_log_feedback_total", "Feedback that a log took.", piece=runtime.path
        )

    async def _tell(self, command: NewFeedback | list[NewFeedback], caller: Caller) -> FeedbackTaken:
        """Stores all of the feedback or none of it; if a prediction has several values with one name, the last counts.

        Raises:
            InvalidInput: a value is malformed.
            NotFound: the log has no such prediction, or it belongs to another principal.
            Unavailable: the log does not answer, or cannot be written now, so that the record may still wait.
        """
        many = command if isinstance(command, list) else [command]
        _check(many)
        at = self._clock.time()
        with self._opened() as store:
            for which in dict.fromkeys(each.prediction_id for each in many):
                await self._find(store, which, caller)
            await store.add_feedback([Feedback(e.prediction_id, e.name, e.value, at, caller.principal) for e in many])
        self._counter.inc(len(many))
        return FeedbackTaken(len(many))

    async def _show(self, query: FeedbackQuery, caller: Caller) -> list[Feedback]:
        """The feedback on one prediction.

        Raises:
            NotFound: the log has no such prediction, or it belongs to another principal.
        """
        with self._opened() as store:
            await self._find(store, query.id, caller)
            return list((await store.read_feedback(prediction_id=query.id)).feedback)

    @contextmanager
    def _opened(self) -> Iterator[LogStore]:
        if self._store is None:
            raise Unsupported("this log cannot be read, so it takes no feedback; set MLPATTERNS_LOG to sqlite:///")
        try:
            yield self._store
        except Unavailable as error:  # its text is for the operator only
            log.warning("the log of %r does not accept feedback: %s", self._path, error)
            raise Unavailable("the log does not answer now; try again later", retry_after=1) from error

    async def _find(self, store: LogStore, prediction_id: str, caller: Caller) -> None:
        """Checks that the caller's record exists; waits shortly for a recent one, which may still be in a queue.

        Raises:
            NotFound: the log has no such prediction, or it belongs to another principal.
            Unavailable: the log stores no records now, so the record may still wait.
        """
        query = LogQuery(prediction_id=prediction_id, path=self._path, role="primary", limit=1)
        made = made_at(prediction_id)
        age = self._clock.time() - (made or 0.0)
        for look in range(LOOKS if age < RECENT else 1):
            if look == 1:
                await self._queue.flush(FLUSH_SECONDS)
            elif look:
                await self._clock.sleep(PAUSE)
            found = (await store.read(query)).records
            if found and found[0].principal == caller.principal:
                return
            if found:
                break
        else:
            if made is not None and self._queue.trouble:  # after a 404 the caller would discard the label
                raise Unavailable("the log stores no records now, so this one may still be waiting")
        raise NotFound("there is no such prediction in this log")


def _check(many: Sequence[NewFeedback]) -> None:
    if not many:
        raise InvalidInput("feedback is one object or a list of them, but this list is empty")
    if len(many) > MOST:
        raise TooLarge(f"at most {MOST} pieces of feedback can be sent at once, not {len(many)}")
    for each in many:
        if isinstance(each.value, str) and len(each.value) > LONGEST:
            raise InvalidInput(f"a value has at most {LONGEST} characters, not {len(each.value)}")
        if isinstance(each.value, int) and abs(each.value) > LARGEST:
            raise InvalidInput("a whole number must be between -2^53 and 2^53")
