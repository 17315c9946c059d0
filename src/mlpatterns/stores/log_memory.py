"""The LogStore of one process: `memory://?max_records=10000`; for tests and demonstrations. Its records are
lost when the process ends."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import count, islice
from typing import Self

from mlpatterns.redaction import redact
from mlpatterns.stores.log import Feedback, FeedbackPage, LogPage, LogQuery, Record
from mlpatterns.stores.log_codec import decode_record, encode_record
from mlpatterns.stores.urls import bounds_of, split_url
from mlpatterns.user_errors import SettingsError

__all__ = ["MemoryLog"]

BOUNDS = {"max_records": 10_000}


class MemoryLog:
    """Records as they are after encoding to JSON and back. If there are too many, the oldest are dropped first."""

    def __init__(self, max_records: int) -> None:
        self._records: deque[tuple[int, Record]] = deque(maxlen=max_records)
        self._feedback: dict[tuple[str, str], tuple[int, Feedback]] = {}
        self._places, self._tellings = count(1), count(1)
        self._most = max_records

    @classmethod
    async def open(cls, url: str) -> Self:
        base, given = split_url(url)
        if base != "memory://":
            raise SettingsError(f"a log in memory has no name: write memory://, not {redact(base)}")
        return cls(**bounds_of(url, given, BOUNDS))

    async def write(self, records: Sequence[Record]) -> None:
        self._records.extend((next(self._places), decode_record(encode_record(record))) for record in records)

    async def read(self, query: LogQuery) -> LogPage:
        found = ((place, each) for place, each in self._records if place > query.after and _fits(each, query))
        limit = max(1, query.limit)
        page = list(found)[-limit:] if query.newest else list(islice(found, limit))
        return LogPage(tuple(record for _, record in page), page[-1][0] if page else query.after)

    async def add_feedback(self, feedback: Sequence[Feedback]) -> None:
        for each in feedback:
            key = each.prediction_id, each.name
            self._feedback.pop(key, None)  # new feedback for the same key moves to the end
            self._feedback[key] = next(self._tellings), each
            if len(self._feedback) > self._most:
                del self._feedback[next(iter(self._feedback))]

    async def read_feedback(self, after: int = 0, limit: int = 1000, prediction_id: str | None = None) -> FeedbackPage:
        found = (
            (place, each)
            for place, each in self._feedback.values()
            if place > after and prediction_id in (None, each.prediction_id)
        )
        page = list(islice(found, max(1, limit)))
        return FeedbackPage(tuple(each for _, each in page), page[-1][0] if page else after)

    async def close(self) -> None:
        """Does nothing: nothing is open."""


def _fits(record: Record, query: LogQuery) -> bool:
    exact = ("prediction_id", "purpose", "role", "model", "version")
    return (
        (query.since is None or record.at >= query.since)
        and (query.until is None or record.at < query.until)
        and (query.path is None or record.path == query.path or record.path.startswith(f"{query.path}/"))
        and all(getattr(query, name) in (None, getattr(record, name)) for name in exact)
    )
