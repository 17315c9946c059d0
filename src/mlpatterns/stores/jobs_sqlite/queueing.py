"""Queues jobs in an SQLite JobStore: finds jobs that are queued already, and checks the limits of the queue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlpatterns.errors import Conflict, Overloaded
from mlpatterns.stores.jobs import Bounds, NewJob
from mlpatterns.stores.jobs_sqlite.file import Connected, count, milliseconds, to_json

__all__ = ["describe", "enqueue", "replay"]

RETRY_FULL = 1.0  # seconds
BY_ID, BY_KEY = (
    "SELECT id, principal, key, digest FROM jobs WHERE queue = ? AND id IN (SELECT value FROM json_each(?))",
    "SELECT id, principal, key, digest FROM jobs WHERE queue = ? AND ifnull(principal, '') = ? AND key = ?",
)


def enqueue(on: Connected, asked: Sequence[tuple[NewJob, Bounds]]) -> list[Any]:
    """Returns for each job its id, or the id of the same job that was queued before, or an error for its caller."""
    depth, size = next(on.execute("SELECT depth, bytes FROM queues WHERE id = ?", (on.queue,)))
    known = _known(on, [job for job, _ in asked])
    results: list[Any] = []
    new: list[NewJob] = []
    for job, bounds in asked:
        before = known.get((job.principal or "", job.key)) or known.get(job.id)
        if before is not None:
            results.append(_same(job, before))
        elif depth + len(new) >= bounds.jobs or size + len(job.request) > bounds.bytes:
            results.append(Overloaded("the queue is full; try again later", retry_after=RETRY_FULL))
        else:
            results.append(job.id)
            new.append(job)
            size += len(job.request)
            _know(known, job)
    if new:
        _insert(on, new)
    return results


def replay(on: Connected, ids: Sequence[str] | None, timeout: float) -> int:
    """See JobStore.replay."""
    rows = on.list(
        "SELECT json_group_array(row) FROM jobs WHERE queue = ?1 AND state = 4 "
        "AND (?2 IS NULL OR id IN (SELECT value FROM json_each(?2)))",
        on.queue, None if ids is None else to_json(ids),
    )  # fmt: skip
    on.execute(
        "UPDATE jobs SET state = 0, due = ?2, ends = ?3, failures = 0, crashes = 0, code = '', error = '', "
        "changed_at = ?2 WHERE row IN (SELECT value FROM json_each(?1))",
        (to_json(rows), on.now, on.now + milliseconds(timeout)),
    )
    size = on.number("SELECT total(size) FROM jobs WHERE row IN (SELECT value FROM json_each(?))", to_json(rows))
    count(on, len(rows), size)
    return len(rows)


def describe(on: Connected, description: bytes) -> None:
    """See JobStore.describe."""
    on.execute("UPDATE queues SET description = ?, described_at = ? WHERE id = ?", (description, on.now, on.queue))


def _known(on: Connected, jobs: Sequence[NewJob]) -> dict[Any, NewJob]:
    """Stored jobs that have the ids or the keys of `jobs`."""
    known: dict[Any, NewJob] = {}
    ids = to_json([job.id for job in jobs])
    for row in on.execute(BY_ID, (on.queue, ids)):
        _know(known, _stored(row))
    for job in jobs:
        if job.key is not None:
            principal = job.principal or ""
            for row in on.execute(BY_KEY, (on.queue, principal, job.key)):
                _know(known, _stored(row))
    return known


def _know(known: dict[Any, NewJob], job: NewJob) -> None:
    known[job.id] = job
    if job.key is not None:
        known[job.principal or "", job.key] = job


def _stored(row: Any) -> NewJob:
    name, principal, key, digest = row
    return NewJob(name, b"", 0, principal, key, digest)


def _same(job: NewJob, before: NewJob) -> Any:
    if (job.principal, job.digest) == (before.principal, before.digest):
        return before.id
    if job.key is not None and job.key == before.key:
        return Conflict("this Idempotency-Key was used for another request; use a new one")
    return Conflict("there is another job with this id; ask with a new one")


def _insert(on: Connected, new: Sequence[NewJob]) -> None:
    last = on.number("UPDATE rows_given SET last = last + ? RETURNING last", len(new))
    rows, offset = [], 1
    for row, job in enumerate(new, last - len(new) + 1):
        size = len(job.request)
        ends = on.now + milliseconds(job.timeout)
        rows.append((row, job.id, ends, size, job.principal, job.key, job.digest, offset))
        offset += size
    text = to_json(rows)
    on.execute(
        "INSERT INTO jobs (row, id, queue, state, due, ends, size, queued_at, changed_at, principal, key, digest) "
        "SELECT value->>0, value->>1, ?2, 0, ?3, value->>2, value->>3, ?3, ?3, value->>4, value->>5, value->>6 "
        "FROM json_each(?1)",
        (text, on.queue, on.now),
    )
    on.execute(
        "INSERT INTO bodies (row, request) SELECT value->>0, substr(?2, value->>7, value->>3) FROM json_each(?1)",
        (text, b"".join([job.request for job in new])),
    )
    count(on, len(new), offset - 1)
