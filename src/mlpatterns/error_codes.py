"""The reasons why a request cannot be answered; `oip/status.py` maps them to HTTP and gRPC statuses."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["ErrorCode"]


class ErrorCode(StrEnum):
    """The reason why a request could not be answered, whatever the protocol.

    Attributes:
        INVALID: the request is not what the model accepts, or it is malformed.
        NOT_FOUND: no model, version, job or key has this name, or no rule matches the request.
        TOO_LARGE: the request, a file in it or the response has more bytes, elements or rows than the limit.
        UNSUPPORTED: the server does not support the request, or not in this form.
        DENIED: the caller is unknown, or has no permission.
        CONFLICT: another caller changed the same thing at the same time, or the name is already used.
        RATE_LIMITED: the caller sent too many requests; `retry_after` says when to try again.
        OVERLOADED: too many requests are running and waiting; `retry_after` says when to try again.
        UNAVAILABLE: the model, or something that it needs, does not answer now; it may answer later.
        DEADLINE: the deadline of the request passed before its answer was ready.
        INTERNAL: the server or a model has a fault.
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
        """Whether the server is at fault and not the caller. Circuit breakers, caches and fallbacks react to faults."""
        return self in _FAULTS


_FAULTS = frozenset({ErrorCode.INTERNAL, ErrorCode.UNAVAILABLE, ErrorCode.DEADLINE})
