"""Why a request could not be answered, without saying how that travels; `oip/status.py` maps it to HTTP and gRPC."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["ErrorCode"]


class ErrorCode(StrEnum):
    """Why a request could not be answered, without saying how that travels.

    Attributes:
        INVALID: what was sent is not what the model takes.
        NOT_FOUND: there is no such model, version, job or key, or no rule says who answers.
        TOO_LARGE: the request, a file in it or its answer has more bytes, elements or rows than it may.
        UNSUPPORTED: what was asked is not offered, or not in this form.
        DENIED: who asks is not known, or may not do this.
        CONFLICT: another has changed it meanwhile, or it is used already.
        RATE_LIMITED: who asks has asked too often; `retry_after` says when to ask again.
        OVERLOADED: too many requests are inside and wait; `retry_after` says when to ask again.
        UNAVAILABLE: the model, or what it needs, does not answer now; it may do so later.
        DEADLINE: the time of the request was over before its answer was ready.
        INTERNAL: the server or a model is at fault.
    """

    INVALID = "INVALID"
    NOT_FOUND = "NOT_FOUND"
    TOO_LARGE = "TOO_LARGE"
    UNSUPPORTED = "UNSUPPORTED"
    DENIED = "DENIED"
    CONFLICT = "CONFLICT"
    RATE_LIMITED = "RATE_LIMITED"
    OVERLOADED = "OVERLOADED"
    UNAVAILABLE = "UNAVAILABLE"
    DEADLINE = "DEADLINE"
    INTERNAL = "INTERNAL"

    @property
    def is_fault(self) -> bool:
        """Whether who answers is at fault, not who asks: what circuit breakers, caches and failover react to."""
        return self in _FAULTS


_FAULTS = frozenset({ErrorCode.INTERNAL, ErrorCode.UNAVAILABLE, ErrorCode.DEADLINE})
