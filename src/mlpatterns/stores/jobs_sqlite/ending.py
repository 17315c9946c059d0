"""Ends jobs of an SQLite JobStore: a worker finishes them, a caller cancels them, or their timeout has passed."""

from __future__ import annotations

from collections.abc import Sequence

from mlpatterns.stores.jobs import Finish, Retention, SweepResult
from mlpatterns.stores.jobs_sqlite.claiming import still_held
from mlpatterns.stores.jobs_sqlite.file import (
    CANCELLED,
    DEAD,
    DONE,
    FAILED,
    STATES,
    Connected,
    count_ended,
    milliseconds,
    to_json,
)

__all__ = ["cancel", "finish", "sweep"]

CHUNK = 1000  # the most jobs of each kind that one sweep handles
WORKER_ENDED = "the worker ended while it worked on the job, each time"
TIMED_OUT = "the job was not finished within its time"
ROWS = "SELECT json_group_array(row) FROM (SELECT row FROM jobs WHERE queue = ? AND state = ? AND"


def finish(on: Connected, finishes: Sequence[Finish]) -> list[bool]:
    """Writes the ends of jobs; returns for each whether its claim was still valid."""
    counting = still_held(on, [(each.claim.row, each.claim.attempt) for each in finishes])
    taken: list[Finish] = []
    results = []
    for each in finishes:
        results.append(each.claim.row in counting)
        if results[-1]:
            taken.append(each)
            counting.discard(each.claim.row)  # a second finish of the same claim does not count
    if taken:
        _write_states(on, taken)
        _write_bodies(on, [each for each in taken if each.state in ("done", "failed")])
        count_ended(on, [each.claim.row for each in taken if each.state != "queued"])
    return results


def cancel(on: Connected, id: str, ttl: float) -> None:
    """Cancels a job if it has not ended."""
    row = on.number(
        "UPDATE jobs SET state = 5, due = ?, changed_at = ? WHERE queue = ? AND id = ? AND state < 2 RETURNING row",
        on.now + milliseconds(ttl), on.now, on.queue, id,
    )  # fmt: skip
    if row:
        on.execute("UPDATE bodies SET request = NULL WHERE row = ?", (row,))
        count_ended(on, [row])


def sweep(on: Connected, retention: Retention) -> SweepResult:
    """See JobStore.sweep."""
    lapsed = on.list(f"{ROWS} due <= ? LIMIT ?)", on.queue, 1, on.now, CHUNK)
    often = []
    if lapsed:
        on.execute(
            "UPDATE jobs SET state = 0, due = ?2, failures = failures + 1, crashes = crashes + 1, changed_at = ?2 "
            "WHERE row IN (SELECT value FROM json_each(?1))",
            (to_json(lapsed), on.now),
        )
        often = on.list(
            "SELECT json_group_array(row) FROM jobs WHERE row IN (SELECT value FROM json_each(?)) AND failures >= ?",
            to_json(lapsed), retention.max_attempts,
        )  # fmt: skip
    _bury(on, often, "INTERNAL", WORKER_ENDED, retention)
    late = on.list(f"{ROWS} ends <= ? LIMIT ?)", on.queue, 0, on.now, CHUNK)
    _bury(on, late, "DEADLINE", TIMED_OUT, retention)
    return SweepResult(len(lapsed), len(often) + len(late), _forget(on))


def _write_states(on: Connected, taken: Sequence[Finish]) -> None:
    rows = []
    for each in taken:
        due = on.now + milliseconds(each.delay if each.state == "queued" else each.keep)
        rows.append((each.claim.row, STATES.index(each.state), due, int(each.counted), each.code, each.error))
    on.execute(
        "UPDATE jobs SET state = value->>1, due = value->>2, changed_at = ?2, failures = failures + (value->>3), "
        "code = value->>4, error = value->>5 FROM json_each(?1) WHERE row = value->>0",
        (to_json(rows), on.now),
    )


def _write_bodies(on: Connected, ended: Sequence[Finish]) -> None:
    """Stores the responses, and deletes the requests, which are no longer needed."""
    rows, offset = [], 1
    for each in ended:
        rows.append((each.claim.row, offset, len(each.response)))
        offset += len(each.response)
    on.execute(
        "UPDATE bodies SET request = NULL, response = substr(?2, value->>1, value->>2) FROM json_each(?1) "
        "WHERE row = value->>0",
        (to_json(rows), b"".join([each.response for each in ended])),
    )


def _bury(on: Connected, rows: Sequence[int], code: str, error: str, retention: Retention) -> None:
    if rows:
        on.execute(
            "UPDATE jobs SET state = 4, due = ?2, changed_at = ?3, code = ?4, error = ?5 "
            "WHERE row IN (SELECT value FROM json_each(?1))",
            (to_json(rows), on.now + milliseconds(retention.dead_ttl), on.now, code, error),
        )
        count_ended(on, rows)


def _forget(on: Connected) -> int:
    over = []
    for state in (DONE, FAILED, DEAD, CANCELLED):
        over += on.list(f"{ROWS} due <= ? LIMIT ?)", on.queue, state, on.now, CHUNK)
    if over:
        on.execute("DELETE FROM jobs WHERE row IN (SELECT value FROM json_each(?))", (to_json(over),))
        on.execute("DELETE FROM bodies WHERE row IN (SELECT value FROM json_each(?))", (to_json(over),))
    return len(over)
