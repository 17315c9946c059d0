"""The JobStore: requests that are answered later, by any worker that claims them.

A job runs at least once, and its result is committed at most once. Each claim of a job has a number that is greater
than those of earlier claims. A claim is no longer valid after a later claim, a cancellation, or a sweep that finds its
lease lapsed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, Protocol

from msgspec import Struct

__all__ = [
    "ENDED", "Bounds", "Changes", "Claim", "ClaimRequest", "ClaimResult", "Fence", "Figures", "Finish", "Job",
    "JobDescription", "JobState", "JobStore", "NewJob", "Retention", "SweepResult",
]  # fmt: skip

JobState = Literal["queued", "running", "done", "failed", "dead", "cancelled"]
Fence = tuple[int, int]
ENDED: frozenset[JobState] = frozenset({"done", "failed", "dead", "cancelled"})


class NewJob(Struct, frozen=True):
    """A job to queue.

    Attributes:
        timeout: seconds within which it must be done; after that it becomes a dead letter.
        key: the caller's idempotency key. A second request with the same key and the same `digest` is the same job.
        digest: the digest of the request.
    """

    id: str
    request: bytes
    timeout: float
    principal: str | None = None
    key: str | None = None
    digest: str = ""


class Bounds(Struct, frozen=True):
    """The limits of a queue: the number of jobs that have not ended, and the bytes of their requests."""

    jobs: int
    bytes: int


class Retention(Struct, frozen=True):
    """How often a job may fail, and for how many seconds ended jobs and dead letters are kept."""

    max_attempts: int
    ttl: float
    dead_ttl: float


class Claim(Struct, frozen=True):
    """A job that a worker has claimed.

    Attributes:
        row: the store's own number for the job.
        attempt: the number of this claim, which serves as a fencing token.
        failures: earlier attempts that counted as failures.
        seconds_left: seconds until its timeout.
        waited: seconds since it was queued.
    """

    id: str
    row: int
    attempt: int
    failures: int
    request: bytes
    seconds_left: float
    waited: float

    @property
    def fence(self) -> Fence:
        """The row and the attempt, which identify this claim."""
        return self.row, self.attempt


class ClaimRequest(Struct, frozen=True):
    """Which jobs a worker wants to claim, and how it holds them.

    Attributes:
        most: the largest number of jobs in one claim.
        lease: seconds after which another worker may claim the job if the lease was not renewed.
        hold: seconds for which the store renews the leases; after that the claim is lost, even if work goes on.
        alone: whether the worker holds no other job. Only such a worker may claim a job whose lease lapsed before, and
            it claims no other job with it. So if this job kills its worker, no other job is counted as failed.
        lost: called in the event loop with a claim that is lost: the job was cancelled, another worker has claimed it,
            or `hold` has passed.
    """

    most: int
    lease: float
    hold: float
    alone: bool
    lost: Callable[[Claim], None]


class ClaimResult(Struct, frozen=True):
    """The claimed jobs, and the seconds until the next queued job is due; None if no job is queued."""

    claims: Sequence[Claim]
    next_due: float | None


class Finish(Struct, frozen=True):
    """The new state of a claimed job. If it goes back to the queue, it is due after `delay` seconds.

    Attributes:
        counted: whether this attempt counts as a failure; too many failures make the job a dead letter.
        keep: seconds for which an ended job is kept.
    """

    claim: Claim
    state: Literal["done", "failed", "dead", "queued"]
    response: bytes = b""
    code: str = ""
    error: str = ""
    delay: float = 0.0
    counted: bool = False
    keep: float = 0.0


class Job(Struct, frozen=True):
    """A job as it is stored. `error` is a sentence for the caller; `response` is set once the job is done.

    Attributes:
        queued_at, changed_at: seconds since 1970. If the job has ended, `changed_at` is the time of its end.
    """

    id: str
    state: JobState
    attempts: int
    principal: str | None
    code: str
    error: str
    queued_at: float
    changed_at: float
    response: bytes = b""


class SweepResult(Struct, frozen=True):
    """The numbers of jobs whose lease lapsed (`lapsed`), that became dead letters after that or after their timeout
    (`dead`), and that were deleted (`forgotten`)."""

    lapsed: int = 0
    dead: int = 0
    forgotten: int = 0


class Figures(Struct, frozen=True):
    """The current figures of a queue: jobs by state, bytes of the requests of jobs that have not ended, and the age of
    the oldest queued job in seconds."""

    queued: int
    running: int
    dead: int
    bytes: int
    oldest: float


class JobDescription(Struct, frozen=True):
    """The last description of the model that a worker wrote, and its age in seconds."""

    text: bytes
    age: float


class Changes(Protocol):
    """Notifies callers that the store may have changed, even if another process changed it."""

    @property
    def count(self) -> int: ...

    async def wait(self, since: int, seconds: float | None) -> None:
        """Waits until `count` differs from `since`, at most for `seconds`."""
        ...


class JobStore(Protocol):
    """Jobs by queue and id. Opening a store fails only if the URL is malformed; if the store is down, its methods fail.

    Raises:
        Unavailable: raised by every method if the store cannot be used now.
    """

    @property
    def changes(self) -> Changes: ...

    async def enqueue(self, queue: str, job: NewJob, bounds: Bounds) -> str:
        """Queues a job and returns its id. If the same job was queued before, returns the id of that job. After the
        return, the job survives the end of the process.

        Raises:
            Conflict: another job has the same key or the same id.
            Overloaded: the queue is full.
        """
        ...

    async def claim(self, queue: str, wanted: ClaimRequest) -> ClaimResult:
        """Claims jobs that are due, the oldest first. The store renews their leases until `finish`."""
        ...

    async def finish(self, queue: str, finish: Finish) -> bool:
        """Writes the new state of a job. Returns whether the claim was still valid; if not, nothing is written."""
        ...

    async def get(self, queue: str, id: str) -> Job | None: ...

    async def wait(self, queue: str, id: str, seconds: float) -> Job | None:
        """Like `get`, but waits until the job has ended, at most for `seconds`."""
        ...

    async def cancel(self, queue: str, id: str, ttl: float) -> Job | None:
        """Cancels a queued or running job. The store ignores the result of a running job after that."""
        ...

    async def dead(self, queue: str, after: str, limit: int) -> list[Job]:
        """At most `limit` dead letters with ids after `after`, in order of their ids."""
        ...

    async def replay(self, queue: str, ids: Sequence[str] | None, seconds: float) -> int:
        """Queues dead letters again, as if they had never failed; returns their number.

        Args:
            ids: the dead letters to queue; None for all.
            seconds: the new timeout, within which they must be done.
        """
        ...

    async def sweep(self, queue: str, retention: Retention) -> SweepResult:
        """Returns jobs with a lapsed lease to the queue, turns jobs that failed too often or exceeded their timeout
        into dead letters, and deletes ended jobs that were kept long enough."""
        ...

    async def figures(self, queue: str) -> Figures: ...

    async def describe(self, queue: str, description: bytes) -> None:
        """Stores a worker's description of its model. Each worker repeats this every few seconds."""
        ...

    async def description(self, queue: str) -> JobDescription | None: ...

    async def close(self) -> None: ...
