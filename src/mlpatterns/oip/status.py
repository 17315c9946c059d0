"""How an ErrorCode travels over HTTP, and what an HTTP status from another server means.

The statuses follow RFC 9110 (6585 for 429) and the error table of the Open Inference Protocol.
"""

from __future__ import annotations

from math import ceil

from mlpatterns.errors import ErrorCode, PredictionError

__all__ = ["code_for", "http_status", "retry_after", "seconds_to_wait"]

_STATUS: dict[ErrorCode, int] = {
    ErrorCode.INVALID: 400,
    ErrorCode.DENIED: 401,
    ErrorCode.NOT_FOUND: 404,
    ErrorCode.CONFLICT: 409,
    ErrorCode.TOO_LARGE: 413,
    ErrorCode.UNSUPPORTED: 415,
    ErrorCode.RATE_LIMITED: 429,
    ErrorCode.INTERNAL: 500,
    ErrorCode.OVERLOADED: 503,
    ErrorCode.UNAVAILABLE: 503,
    ErrorCode.DEADLINE: 504,
}

# What only others answer, and 503: from outside, a full server and a stopped one look alike.
_CODE: dict[int, ErrorCode] = {status: code for code, status in _STATUS.items()} | {
    403: ErrorCode.DENIED,
    405: ErrorCode.UNSUPPORTED,
    408: ErrorCode.DEADLINE,
    501: ErrorCode.UNSUPPORTED,
    502: ErrorCode.UNAVAILABLE,
    503: ErrorCode.UNAVAILABLE,
}

MOST_SECONDS = 3600  # an hour: who waits longer has been told to go away


def http_status(code: ErrorCode) -> int:
    """The HTTP status of `code`."""
    return _STATUS[code]


def code_for(status: int) -> ErrorCode:
    """What another server's HTTP error status means; one without a meaning here is INVALID (4xx) or INTERNAL."""
    known = _CODE.get(status)
    if known is not None:
        return known
    return ErrorCode.INVALID if 400 <= status < 500 else ErrorCode.INTERNAL


def retry_after(error: PredictionError) -> int | None:
    """The `Retry-After` of an error in whole seconds, 1 to 3600, rounded up; None for an error that time does not mend.

    An error's own `retry_after` counts; without one, a full or unavailable server says 1.
    """
    seconds = error.retry_after
    if seconds is None:
        return 1 if error.code in (ErrorCode.OVERLOADED, ErrorCode.UNAVAILABLE) else None
    return max(1, ceil(min(seconds, MOST_SECONDS)))


def seconds_to_wait(header: str | None) -> float | None:
    """A `Retry-After` header in seconds, at most 3600; None if there is none, or it is a date or malformed."""
    if header is None or not header.isascii() or not header.isdigit():
        return None
    return float(min(int(header[:9]), MOST_SECONDS))
