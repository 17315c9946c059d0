"""Queries of an SQLite JobStore."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlpatterns.stores.jobs import Figures, Job, JobDescription
from mlpatterns.stores.jobs_sqlite.file import DEAD, QUEUED, RUNNING, STATES, Connected, to_json

__all__ = ["dead", "description", "ended", "figures", "jobs"]

BY_ID = """
SELECT j.id, state, attempt, principal, code, error, queued_at, changed_at, response FROM json_each(?)
CROSS JOIN jobs j ON j.queue = ? AND j.id = value JOIN bodies b ON b.row = j.row
"""
DEAD_ONES = """
SELECT id, state, attempt, principal, code, error, queued_at, changed_at, NULL FROM jobs
WHERE queue = ? AND state = ? AND id > ? ORDER BY id LIMIT ?
"""


def jobs(on: Connected, ids: Sequence[str]) -> dict[str, Job]:
    """The jobs with these ids that exist, by id."""
    found = on.execute(BY_ID, (to_json(ids), on.queue))
    return {job.id: job for job in map(_job, found)}


def ended(on: Connected, ids: Sequence[str]) -> list[str]:
    """Those of `ids` whose job has ended or does not exist."""
    going = on.list(
        "SELECT json_group_array(j.id) FROM json_each(?) CROSS JOIN jobs j ON queue = ? AND j.id = value AND state < 2",
        to_json(ids), on.queue,
    )  # fmt: skip
    return sorted(set(ids).difference(going))


def dead(on: Connected, after: str, limit: int) -> list[Job]:
    """See JobStore.dead."""
    return [_job(row) for row in on.execute(DEAD_ONES, (on.queue, DEAD, after, limit))]


def figures(on: Connected) -> Figures:
    """See JobStore.figures."""
    queued, running, dead = [
        on.number("SELECT count(*) FROM jobs WHERE queue = ? AND state = ?", on.queue, state)
        for state in (QUEUED, RUNNING, DEAD)
    ]
    size = on.number("SELECT bytes FROM queues WHERE id = ?", on.queue)
    first = on.number("SELECT min(due) FROM jobs WHERE queue = ? AND state = 0", on.queue) or on.now
    return Figures(queued, running, dead, size, max(0, on.now - first) / 1000)


def description(on: Connected) -> JobDescription | None:
    """See JobStore.description."""
    query = "SELECT description, described_at FROM queues WHERE id = ? AND description IS NOT NULL"
    for text, at in on.execute(query, (on.queue,)):
        return JobDescription(text, max(0, on.now - at) / 1000)
    return None


def _job(row: Any) -> Job:
    name, state, attempts, principal, code, error, queued_at, changed_at, response = row
    return Job(
        name, STATES[state], attempts, principal, code, error, queued_at / 1000, changed_at / 1000, response or b""
    )
