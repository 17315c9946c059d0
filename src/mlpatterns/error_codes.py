"""Why a request could not be answered, without saying how that travels; `oip/status.py` maps it to HTTP and gRPC."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["ErrorCode"]


class ErrorCode(StrEnum):
    """Why a request could not be answered, without saying how that travels."""

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
