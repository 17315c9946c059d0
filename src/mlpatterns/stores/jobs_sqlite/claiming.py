"""Claims jobs of an SQLite JobStore and renews their leases."""

from __future__ import annotations

from collections.abc import Sequence

from mlpatterns.stores.jobs import Claim, ClaimRequest, ClaimResult
from mlpatterns.stores.jobs_sqlite.file import Connected, milliseconds, to_json

__all__ = ["claim", "next_due", "renew", "still_held"]

CLAIM_BYTES = 16 * 2**20  # bytes of all requests in one claim; the first request alone may be larger
ROW_WISE = 16 * 1024  # bytes; a request of this size or more is read in its own query


def next_due(on: Connected) -> int | None:
    """When the next queued job is due, or None if there is none."""
    found = on.execute("SELECT min(due) FROM jobs WHERE queue = ? AND state = 0", (on.queue,)).get
    return None if found is None else int(found)


def claim(on: Connected, wanted: ClaimRequest) -> ClaimResult:
    """See JobStore.claim; this does not renew the leases."""
    rows = _due(on, wanted)
    if rows:
        on.execute(
            "UPDATE jobs SET state = 1, attempt = attempt + 1, due = ?2, changed_at = ?3 "
            "WHERE row IN (SELECT value FROM json_each(?1))",
            (to_json(rows), on.now + milliseconds(wanted.lease), on.now),
        )
    following = next_due(on)
    return ClaimResult(_claims(on, rows), None if following is None else max(0, following - on.now) / 1000)


def renew(on: Connected, leases: Sequence[tuple[Claim, float]]) -> set[int]:
    """Renews leases, each for the given seconds from now; returns the rows of the claims that are still valid."""
    rows = [(claim.row, claim.attempt, on.now + milliseconds(lease)) for claim, lease in leases]
    counting = still_held(on, rows)
    on.execute(
        "UPDATE jobs SET due = value->>2 FROM json_each(?) WHERE row = value->>0",
        (to_json([each for each in rows if each[0] in counting]),),
    )
    return counting


def still_held(on: Connected, rows: Sequence[tuple[int, ...]]) -> set[int]:
    """The rows, out of tuples (row, attempt, …), whose claim is still valid."""
    return set(on.list(
        "SELECT json_group_array(row) FROM json_each(?) CROSS JOIN jobs "
        "ON row = value->>0 AND state = 1 AND attempt = value->>1", to_json(rows),
    ))  # fmt: skip


def _due(on: Connected, wanted: ClaimRequest) -> list[int]:
    """The rows to claim. A job whose lease lapsed before is claimed alone, by a worker that holds no other job."""
    found = on.list(
        "SELECT json_group_array(json_array(row, crashes, size)) FROM "
        "(SELECT row, crashes, size FROM jobs WHERE queue = ? AND state = 0 AND due <= ? ORDER BY due LIMIT ?)",
        on.queue, on.now, wanted.most,
    )  # fmt: skip
    rows: list[int] = []
    total = 0
    for row, crashes, size in found:
        total += size
        if crashes or (rows and total > CLAIM_BYTES):
            return [row] if crashes and not rows and wanted.alone else rows
        rows.append(row)
    return rows


def _claims(on: Connected, rows: Sequence[int]) -> list[Claim]:
    if not rows:
        return []
    claims = []
    for row, name, attempt, failures, ends, queued_at, hexed in on.list(
        "SELECT json_group_array(json_array(j.row, j.id, attempt, failures, ends, queued_at, "
        "CASE WHEN size < ?2 THEN hex(request) END)) "
        "FROM json_each(?1) CROSS JOIN jobs j ON j.row = value JOIN bodies b ON b.row = j.row",
        to_json(rows), ROW_WISE,
    ):  # fmt: skip
        if hexed is None:
            request = on.execute("SELECT request FROM bodies WHERE row = ?", (row,)).get
            assert isinstance(request, bytes)
        else:
            request = bytes.fromhex(hexed)
        left, waited = (ends - on.now) / 1000, (on.now - queued_at) / 1000
        claims.append(Claim(name, row, attempt, failures, request, left, waited))
    return claims
