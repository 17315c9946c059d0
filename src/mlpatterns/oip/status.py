"""How an ErrorCode travels over HTTP and gRPC, and what a status from another server means.

HTTP's statuses follow RFC 9110 (6585 for 429) and the error table of the Open Inference Protocol, gRPC's the table of
google.rpc.Code, whose names are used here so that nothing needs grpc to read them.
"""

from __future__ import annotations

from math import ceil

from mlpatterns.errors import CircuitOpen, ErrorCode, PredictionError, error_for

__all__ = [
    "CODE", "PUSHBACK", "code_for", "code_for_grpc", "code_header", "grpc_status", "http_status", "refusal_of",
    "retry_after", "retry_pushback", "seconds_to_push_back", "seconds_to_wait",
]  # fmt: skip

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

_GRPC: dict[ErrorCode, str] = {
    ErrorCode.INVALID: "INVALID_ARGUMENT",
    ErrorCode.DENIED: "UNAUTHENTICATED",
    ErrorCode.NOT_FOUND: "NOT_FOUND",
    ErrorCode.CONFLICT: "ABORTED",
    ErrorCode.RATE_LIMITED: "RESOURCE_EXHAUSTED",
    ErrorCode.TOO_LARGE: "RESOURCE_EXHAUSTED",
    ErrorCode.UNSUPPORTED: "UNIMPLEMENTED",
    ErrorCode.INTERNAL: "INTERNAL",
    ErrorCode.OVERLOADED: "UNAVAILABLE",
    ErrorCode.UNAVAILABLE: "UNAVAILABLE",
    ErrorCode.DEADLINE: "DEADLINE_EXCEEDED",
}

_CODE_GRPC: dict[str, ErrorCode] = {status: code for code, status in _GRPC.items()} | {
    "ALREADY_EXISTS": ErrorCode.CONFLICT,
    "CANCELLED": ErrorCode.UNAVAILABLE,
    "FAILED_PRECONDITION": ErrorCode.INVALID,
    "OUT_OF_RANGE": ErrorCode.INVALID,
    "PERMISSION_DENIED": ErrorCode.DENIED,
}

CODE = "x-mlp-code"
"""The header, or the metadata, of a refusal by mlpatterns: its ErrorCode, which a status alone does not tell, or
CIRCUIT_OPEN, which is an UNAVAILABLE that circuit breakers and retries of others do not count."""

CIRCUIT_OPEN = "CIRCUIT_OPEN"

PUSHBACK = "grpc-retry-pushback-ms"
"""The metadata that says when to try again: gRPC's own word for `Retry-After`."""

_PASSING = (ErrorCode.RATE_LIMITED, ErrorCode.OVERLOADED, ErrorCode.UNAVAILABLE)  # time mends it

MOST_SECONDS = 3600  # an hour: who waits longer has been told to go away


def http_status(code: ErrorCode) -> int:
    """The HTTP status of `code`."""
    return _STATUS[code]


def code_header(error: PredictionError) -> tuple[bytes, bytes]:
    """The code of a refusal, for headers of HTTP and metadata of gRPC."""
    return CODE.encode(), CIRCUIT_OPEN.encode() if isinstance(error, CircuitOpen) else error.code.encode()


def refusal_of(code: ErrorCode, sentence: str, said: str | None, wait: float | None) -> PredictionError:
    """The error that another server's refusal is here.

    Args:
        code: as its status means.
        said: the header or metadata `x-mlp-code`.
        wait: seconds after which it says to try again.
    """
    if said == CIRCUIT_OPEN and code is ErrorCode.UNAVAILABLE:
        return CircuitOpen(sentence, retry_after=wait)
    return error_for(code, sentence, retry_after=wait)


def code_for(status: int, said: str | None = None) -> ErrorCode:
    """What another server's HTTP error status means; one without a meaning here is INVALID (4xx) or INTERNAL.

    Args:
        said: the header `x-mlp-code`, which counts if it is a code.
    """
    if said is not None and said in ErrorCode.__members__:
        return ErrorCode(said)
    known = _CODE.get(status)
    if known is not None:
        return known
    return ErrorCode.INVALID if 400 <= status < 500 else ErrorCode.INTERNAL


def grpc_status(code: ErrorCode) -> str:
    """The name of the gRPC status of `code`."""
    return _GRPC[code]


def code_for_grpc(status: str, pushback: float | None = None, said: str | None = None) -> ErrorCode:
    """What another server's gRPC status means; one without a meaning here is INTERNAL.

    RESOURCE_EXHAUSTED is said of a message too large and of a client too eager: only the latter may try again, and is
    told when (`pushback`).

    Args:
        said: the metadata `x-mlp-code`, which counts if it is a code.
    """
    if said is not None and said in ErrorCode.__members__:
        return ErrorCode(said)
    if status == "RESOURCE_EXHAUSTED" and pushback is not None:
        return ErrorCode.RATE_LIMITED
    return _CODE_GRPC.get(status, ErrorCode.INTERNAL)


def retry_after(error: PredictionError) -> int | None:
    """The `Retry-After` of an error in whole seconds, 1 to 3600, rounded up; None for an error that time does not mend.

    An error's own `retry_after` counts; without one it is 1 for a client too eager and a full or unavailable server.
    """
    seconds = error.retry_after
    if seconds is None:
        return 1 if error.code in _PASSING else None
    return max(1, ceil(min(seconds, MOST_SECONDS)))


def retry_pushback(error: PredictionError) -> tuple[tuple[bytes, bytes], ...]:
    """The same as metadata of a gRPC call, in milliseconds; none where there is none."""
    seconds = retry_after(error)
    return () if seconds is None else ((PUSHBACK.encode(), b"%d" % (1000 * seconds)),)


def seconds_to_wait(header: str | None) -> float | None:
    """A `Retry-After` header in seconds, at most 3600; None if there is none, or it is a date or malformed."""
    if header is None or not header.isascii() or not header.isdigit():
        return None
    return float(min(int(header[:9]), MOST_SECONDS))


def seconds_to_push_back(milliseconds: str | None) -> float | None:
    """A `grpc-retry-pushback-ms` in seconds, at most 3600; None if there is none or it is no whole number."""
    if milliseconds is None or not milliseconds.isascii() or not milliseconds.isdigit():
        return None
    return min(int(milliseconds[:12]) / 1000, float(MOST_SECONDS))
