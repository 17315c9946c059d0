"""The options of a JobQueue, which the piece and its workers share."""

from __future__ import annotations

import random
from typing import Literal

from msgspec import Struct

from mlpatterns.errors import ErrorCode
from mlpatterns.stores.jobs import Bounds, Claim, Finish, Retention
from mlpatterns.user_errors import CompositionError

__all__ = ["JobOptions"]

PUT_BACK = frozenset({ErrorCode.OVERLOADED, ErrorCode.RATE_LIMITED})  # the job returns to the queue, uncounted
BACKS_OFF = frozenset({ErrorCode.UNAVAILABLE})  # retried until the job's time is over, uncounted
COUNTS = frozenset({ErrorCode.INTERNAL, ErrorCode.DEADLINE})
MOST_DOUBLINGS = 30
MOST_WORDS = 2000  # characters of an error that are kept


class JobOptions(Struct, frozen=True):
    """The options of a JobQueue; its docstring describes them.

    Raises:
        CompositionError: at construction: an option is out of its range.
    """

    concurrency: int
    lease: float | None
    max_run: float
    job_timeout: float
    max_attempts: int
    backoff: float
    backoff_most: float
    ttl: float
    dead_ttl: float
    max_queued: int
    max_queued_bytes: int
    max_payload_bytes: int

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value is not None and (not value > 0 or value > 10**12):
                raise CompositionError(f"{name} of a JobQueue must be greater than 0 and finite; it is {value}")

    @property
    def bounds(self) -> Bounds:
        return Bounds(self.max_queued, self.max_queued_bytes)

    @property
    def keeping(self) -> Retention:
        return Retention(self.max_attempts, self.ttl, self.dead_ttl)

    def done(self, claim: Claim, response: bytes) -> Finish:
        return Finish(claim, "done", response, keep=self.ttl)

    def after(self, claim: Claim, code: ErrorCode, error: str, retry_after: float | None = None) -> Finish:
        """What happens to a job whose attempt ended with the error `code`: it fails, is retried, or becomes a
        dead letter.
        """
        said = error[:MOST_WORDS].replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()
        if code not in PUT_BACK | BACKS_OFF | COUNTS:
            return self._ended(claim, "failed", code, said)
        counted = code in COUNTS
        delay = max(retry_after or 0.0, self._backoff(claim.attempt))
        if delay >= claim.seconds_left or (counted and claim.failures + 1 >= self.max_attempts):
            return self._ended(claim, "dead", code, said)
        return Finish(claim, "queued", code=str(code), error=said, delay=delay, counted=counted)

    def _ended(self, claim: Claim, state: Literal["failed", "dead"], code: ErrorCode, error: str) -> Finish:
        keep = self.ttl if state == "failed" else self.dead_ttl
        return Finish(claim, state, code=str(code), error=error, counted=True, keep=keep)

    def _backoff(self, attempt: int) -> float:
        """The delay in seconds: doubled with each attempt, and random, so that retries are spread out."""
        most = min(self.backoff_most, self.backoff * 2.0 ** min(attempt - 1, MOST_DOUBLINGS))
        return most * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
