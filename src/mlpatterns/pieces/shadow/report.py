"""The report that compares a candidate with the primary, from the records of a shadow in the log."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta, Struct

from mlpatterns.analysis.differences import Difference
from mlpatterns.context import Purpose
from mlpatterns.errors import Unsupported
from mlpatterns.markup import element, piece_page, table
from mlpatterns.predictor import Caller, Operation, Runtime
from mlpatterns.stores.log import LogQuery, LogStore, Record

__all__ = ["DIFFERENCE", "Example", "Latency", "ShadowOperations", "ShadowQuery", "ShadowReport", "difference_in"]

DIFFERENCE = "difference"  # the key of the note that has the comparison
MOST, PAGE = 100_000, 1000  # the most records in a report; records read at once
EXAMPLES, FLIPS = 20, 20


class ShadowQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Selects the comparisons of the last `hours`; with `caller_id` only those of this id, including tests."""

    hours: Annotated[float, Meta(gt=0, le=100_000)] = 24.0
    caller_id: Annotated[str, Meta(min_length=1, max_length=1000)] | None = None


class Latency(Struct, frozen=True):
    """Quantiles of the seconds that one model took for the compared requests."""

    p50: float
    p99: float


class Example(Struct, frozen=True):
    """One comparison."""

    prediction_id: str
    caller_id: str | None
    at: float
    rows: int
    differ: int
    largest: float | None
    flips: Mapping[str, int]


class ShadowReport(Struct, frozen=True):
    """A summary of the comparisons in the log.

    Attributes:
        compared, failed: numbers of requests; `errors` has the failed ones by code.
        agreement: the share of rows with the same label; for a model without labels, the share of rows whose difference
            is within the tolerance; None without rows.
        flips: numbers of rows by ``from → to``.
        largest, mean: absolute differences of the numbers; `mean` is a mean over requests.
        seconds: the latency of each of the two models; None without requests.
        examples: the comparisons with the largest differences, among the predictions of the principal who reads the
            report.
        complete: whether all records of the period were read. If not, the report has only the first ones; request
            fewer hours.
    """

    compared: int
    failed: int
    errors: dict[str, int]
    rows: int
    differ: int
    agreement: float | None
    flips: dict[str, int]
    largest: float | None
    mean: float | None
    seconds: dict[str, Latency] | None
    examples: list[Example]
    complete: bool


class OutputDifference(Difference, frozen=True):
    """The content of the note ``difference``."""

    seconds: float
    model: str = ""


class ShadowOperations:
    """The operations that show the comparisons. They read the log, so all workers and replicas agree."""

    def __init__(self) -> None:
        self._store: LogStore | None = None
        self.operations = (
            Operation("shadow", "query", "public", ShadowQuery, ShadowReport, self._report),
            Operation("shadow/report", "page", "public", ShadowQuery, str, self._page),
        )

    def open(self, store: LogStore | None, runtime: Runtime) -> None:
        self._store, self._path, self._clock = store, runtime.path, runtime.clock

    async def _report(self, query: ShadowQuery, caller: Caller) -> ShadowReport:
        """How often candidate and primary agree, where they differ, and how long each takes.

        Raises:
            Unsupported: the log cannot be read.
        """
        found, complete = await self._records(query)
        return report(found, caller.principal, complete=complete)

    async def _page(self, query: ShadowQuery, caller: Caller) -> str:
        """The report as a page."""
        return _page(await self._report(query, caller), query)

    async def _records(self, query: ShadowQuery) -> tuple[list[Record], bool]:
        found: list[Record] = []
        async for record in self._read(query):
            if len(found) == MOST:
                return found, False
            if query.caller_id in (None, record.caller_id):
                found.append(record)
        return found, True

    async def _read(self, query: ShadowQuery) -> AsyncIterator[Record]:
        if self._store is None:
            raise Unsupported("this log cannot be read, so there is no report; set MLPATTERNS_LOG to sqlite:///")
        after, since = 0, self._clock.time() - 3600 * query.hours
        while True:
            purpose: Purpose | None = "request" if query.caller_id is None else None
            selection = LogQuery(after=after, since=since, path=self._path, role="shadow", purpose=purpose, limit=PAGE)
            page = await self._store.read(selection)
            for record in page.records:
                yield record
            if page.after == after:
                return
            after = page.after


def difference_in(record: Record) -> OutputDifference | None:
    """The comparison in a record; None if it has none."""
    for note in record.notes:
        if note.key == DIFFERENCE and note.path == record.path:
            try:
                return msgspec.convert(note.value, OutputDifference)
            except msgspec.ValidationError:
                return None
    return None


def report(records: Sequence[Record], principal: str | None, *, complete: bool = True) -> ShadowReport:
    """The report of these records, with examples of `principal` only."""
    entries = [(record, entry) for record in records if (entry := difference_in(record)) is not None]
    failed = [record for record in records if record.status == "failed"]
    rows, differ = sum(entry.rows for _, entry in entries), sum(entry.differ for _, entry in entries)
    flips: Counter[str] = Counter()
    for _, entry in entries:
        flips.update(entry.flips)
    largest = [entry.largest for _, entry in entries if entry.largest is not None]
    means = [entry.mean for _, entry in entries if entry.mean is not None]
    return ShadowReport(
        compared=len(entries),
        failed=len(failed),
        errors=dict(Counter(record.code for record in failed)),
        rows=rows,
        differ=differ,
        agreement=1 - differ / rows if rows else None,
        flips=dict(flips.most_common(FLIPS)),
        largest=max(largest, default=None),
        mean=float(np.mean(means)) if means else None,
        seconds=_latencies(entries),
        examples=_examples([pair for pair in entries if pair[0].principal == principal]),
        complete=complete,
    )


def _latencies(entries: Sequence[tuple[Record, OutputDifference]]) -> dict[str, Latency] | None:
    if not entries:
        return None
    sides = {"primary": [e.seconds for _, e in entries], "candidate": [record.seconds for record, _ in entries]}
    return {side: Latency(*np.quantile(values, [0.5, 0.99]).tolist()) for side, values in sides.items()}


def _examples(entries: Sequence[tuple[Record, OutputDifference]]) -> list[Example]:
    most = sorted(entries, key=lambda pair: (pair[1].differ, pair[1].largest or 0.0), reverse=True)[:EXAMPLES]
    return [
        Example(record.prediction_id, record.caller_id, record.at, entry.rows, entry.differ, entry.largest, entry.flips)
        for record, entry in most
    ]


def _page(found: ShadowReport, query: ShadowQuery) -> str:
    of = "" if query.caller_id is None else f" of {query.caller_id!r}"
    body: list[str] = [element("p", f"The comparisons{of} of the last {query.hours:g} hours.")]
    if not found.complete:
        body.append(element("p", f"Only the first {MOST} are shown: ask for fewer hours.", class_="warn"))
    facts: list[tuple[str, Any]] = [("compared", found.compared), ("failed", found.failed), ("rows", found.rows),
             ("rows that differ", found.differ)]  # fmt: skip
    for what, value in (("agreement", found.agreement), ("largest difference", found.largest),
                        ("mean difference", found.mean)):  # fmt: skip
        facts += [] if value is None else [(what, value)]
    for side, latency in (found.seconds or {}).items():
        facts += [(f"{side} p50, ms", 1000 * latency.p50), (f"{side} p99, ms", 1000 * latency.p99)]
    body.append(table(("What", "Found"), facts))
    for title, heads, rows in (
        ("Labels that changed", ("From → to", "Rows"), list(found.flips.items())),
        ("Failures", ("Code", "Requests"), list(found.errors.items())),
        ("What differs most", ("Prediction", "Caller's id", "Rows", "Differ", "Largest"), [
            (one.prediction_id, one.caller_id or "", one.rows, one.differ, "" if one.largest is None else one.largest)
            for one in found.examples
        ]),
    ):  # fmt: skip
        body += [element("h2", title), table(heads, rows)] if rows else []
    return piece_page("Shadow", *body)
