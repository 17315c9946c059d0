"""The JobStore: requests that are answered later, by whichever worker claims them.

A job runs at least once and is committed at most once: each claim has a number of its own, greater than those before,
and what a claim says of its job counts only while no later one, no cancellation and no lapse of its lease came first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, Protocol

from msgspec import Struct

__all__ = [
    "ENDED", "Bounds", "Changes", "Claim", "Claimed", "Description", "Fence", "Figures", "Finish", "Job", "JobState",
    "JobStore", "Keeping", "NewJob", "Swept", "Wish",
]  # fmt: skip

JobState = Literal["queued", "running", "done", "failed", "dead", "cancelled"]
Fence = tuple[int, int]
ENDED: frozenset[JobState] = frozenset({"done", "failed", "dead", "cancelled"})


class NewJob(Struct, frozen=True):
    """A job to queue.

    Attributes:
        timeout: seconds until it must be done; else it is a dead letter.
        key: of its caller, and `digest` of what was asked with it: the same key with the same digest is the same job.
    """

    id: str
    request: bytes
    timeout: float
    principal: str | None = None
    key: str | None = None
    digest: str = ""


class Bounds(Struct, frozen=True):
    """What a queue holds at most of jobs that have not ended, and of the bytes of their requests."""

    jobs: int
    bytes: int


class Keeping(Struct, frozen=True):
    """How often a job may fail, and for how many seconds an ended one and a dead letter are kept."""

    max_attempts: int
    ttl: float
    dead_ttl: float


class Claim(Struct, frozen=True):
    """A job that a worker has claimed.

    Attributes:
        row: the store's own name of the job.
        attempt: the fence: the number of this claim.
        failures: attempts that counted before this one.
        seconds_left: until its timeout.
        waited: seconds that it was queued.
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
        """What tells this claim from all others."""
        return self.row, self.attempt


class Wish(Struct, frozen=True):
    """Which jobs a worker would claim, and how it holds them.

    Attributes:
        most: jobs at once.
        lease: seconds after which another may claim a job whose worker does not renew its lease any more.
        hold: seconds for which the store renews the leases, however long the worker works.
        alone: the worker holds no job: it may claim one whose worker has ended before, and then no other with it, so
            that only a job that ends its worker is charged with that.
        lost: called in the event loop with a claim that does not count any more: its job was cancelled, or another
            has it.
    """

    most: int
    lease: float
    hold: float
    alone: bool
    lost: Callable[[Claim], None]


class Claimed(Struct, frozen=True):
    """What was claimed, and in how many seconds there may be more if nothing changes; None: never."""

    claims: Sequence[Claim]
    next_due: float | None


class Finish(Struct, frozen=True):
    """What becomes of a claimed job; back in the queue it is due after `delay` seconds.

    Attributes:
        counted: this attempt counts towards the dead letter.
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
    """A job as the store has it; `error` is a sentence for the caller, `response` is there once it is done.

    Attributes:
        queued_at, changed_at: seconds since 1970; of a job that has ended, `changed_at` is when it did.
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


class Swept(Struct, frozen=True):
    """Jobs whose worker ended, of them and of those past their timeout the dead letters, and jobs forgotten."""

    lapsed: int = 0
    dead: int = 0
    forgotten: int = 0


class Figures(Struct, frozen=True):
    """A queue now: its jobs by state, the bytes of the requests of those not ended, and the age of the oldest queued
    in seconds."""

    queued: int
    running: int
    dead: int
    bytes: int
    oldest: float


class Description(Struct, frozen=True):
    """What a worker last said of its model, and how many seconds ago."""

    text: bytes
    age: float


class Changes(Protocol):
    """What tells that a store may have changed, also by another process."""

    @property
    def count(self) -> int: ...

    async def wait(self, since: int, seconds: float | None) -> None:
        """Returns when `count` is not `since` any more, at most after `seconds`."""
        ...


class JobStore(Protocol):
    """Jobs by queue and id. Opening one fails on a malformed URL only; a store that is down is found out in use.

    Raises:
        Unavailable: by every method: the store does not do it now.
    """

    @property
    def changes(self) -> Changes: ...

    async def enqueue(self, queue: str, job: NewJob, bounds: Bounds) -> str:
        """Queues a job; when this returns it outlives the process. Returns its id, or that of the same job, queued
        before.

        Raises:
            Conflict: its key, or its id, is that of another job.
            Overloaded: the queue is full.
        """
        ...

    async def claim(self, queue: str, wish: Wish) -> Claimed:
        """Claims the jobs that are due, oldest first; their leases are renewed until `finish`."""
        ...

    async def finish(self, queue: str, finish: Finish) -> bool:
        """Whether the claim still counted; if not, nothing was written."""
        ...

    async def get(self, queue: str, id: str) -> Job | None: ...

    async def wait(self, queue: str, id: str, seconds: float) -> Job | None:
        """As `get`, but returns only when the job has ended, at most after `seconds`."""
        ...

    async def cancel(self, queue: str, id: str, ttl: float) -> Job | None:
        """Ends a job that is queued or running; the result of one that runs is not taken any more."""
        ...

    async def dead(self, queue: str, after: str, limit: int) -> list[Job]:
        """Dead letters, by id from `after` on."""
        ...

    async def replay(self, queue: str, ids: Sequence[str] | None, seconds: float) -> int:
        """Queues dead letters anew, those of `ids` or all, as if they had never failed; returns how many.

        Args:
            seconds: until they must be done.
        """
        ...

    async def sweep(self, queue: str, keeping: Keeping) -> Swept:
        """Puts jobs back whose lease has lapsed, ends those that failed too often or are past their timeout, forgets
        those that were kept long enough."""
        ...

    async def figures(self, queue: str) -> Figures: ...

    async def describe(self, queue: str, description: bytes) -> None:
        """Keeps what a worker of a queue says of its model; each says it every few seconds."""
        ...

    async def description(self, queue: str) -> Description | None: ...

    async def close(self) -> None: ...
