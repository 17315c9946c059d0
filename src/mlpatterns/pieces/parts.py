"""What pieces with several parts have in common: whose error it was, and what the whole is made of."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from functools import lru_cache

from mlpatterns.errors import InternalError, NotStarted, PredictionError, Unavailable
from mlpatterns.predictor import InferenceResponse

__all__ = ["NOT_READY_RETRY", "answered_now", "combined_identity", "error_within"]

log = logging.getLogger("mlpatterns")

NOT_READY_RETRY = 1.0  # seconds after which a part that has not answered yet may have


def error_within(part: str, error: Exception, what: str = "stage") -> PredictionError:
    """The error a caller gets for `error` of `part`: with the part's name, and without what is internal."""
    if isinstance(error, PredictionError):
        return error.within(part)
    if isinstance(error, NotStarted):
        return Unavailable(f"this {what} is not ready yet", retry_after=NOT_READY_RETRY, stages=(part,))
    log.error("%s %r failed", what, part, exc_info=error)
    return InternalError(f"this {what} failed", stages=(part,))


def answered_now(part: str, response: InferenceResponse, what: str = "stage") -> None:
    """Checks that `part` gave its answer and not a job id.

    Raises:
        InternalError: if it answers later.
    """
    if response.status == "accepted":
        raise InternalError(
            f"this {what} answers later, so nothing can be made of its answer now; queue the whole instead",
            stages=(part,),
        )


def combined_identity(kind: str, *identities: str | None) -> str | None:
    """The SHA-256 of `kind` and all `identities` in order, or None if one of them is None."""
    return None if None in identities else _digest((kind, *(i for i in identities if i is not None)))


@lru_cache(maxsize=256)
def _digest(words: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps(words).encode()).hexdigest()
