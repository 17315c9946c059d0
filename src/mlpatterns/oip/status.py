"""Maps each ErrorCode to a status of HTTP and of gRPC, and the statuses of other servers to an ErrorCode.

The HTTP statuses follow RFC 9110 (RFC 6585 for 429) and the error table of the Open Inference Protocol. The gRPC
statuses follow the table of google.rpc.Code. They are names, so that this module does not import grpc.
"""

from __future__ import annotations

from math import ceil

from mlpatterns.errors import CircuitOpen, ErrorCode, PredictionError, error_for

__all__ = [
    "CODE_HEADER", "PUSHBACK", "code_for", "code_for_grpc", "code_header", "grpc_status", "http_status", "refusal_of",
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

# Adds the statuses that only other servers send. 503 becomes UNAVAILABLE, because a client cannot tell a full server
# from a stopped one.
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

CODE_HEADER = "x-mlp-code"
"""The header (HTTP) or metadata (gRPC) with the ErrorCode of an mlpatterns server's error. The status alone does not
determine the ErrorCode. CIRCUIT_OPEN is an UNAVAILABLE that other circuit breakers and retries do not count."""

CIRCUIT_OPEN = "CIRCUIT_OPEN"

PUSHBACK = "grpc-retry-pushback-ms"
"""The metadata with the time until the next attempt, in milliseconds: gRPC's counterpart of `Retry-After`."""

_TRANSIENT = (ErrorCode.RATE_LIMITED, ErrorCode.OVERLOADED, ErrorCode.UNAVAILABLE)  # a later attempt may succeed

MOST_SECONDS = 3600  # the longest wait that is sent to a client or accepted from a server


def http_status(code: ErrorCode) -> int:
    """The HTTP status of `code`."""
    return _STATUS[code]


def code_header(error: PredictionError) -> tuple[bytes, bytes]:
    """The header or metadata with the code of an error."""
    return CODE_HEADER.encode(), CIRCUIT_OPEN.encode() if isinstance(error, CircuitOpen) else error.code.encode()


def refusal_of(code: ErrorCode, sentence: str, header: str | None, wait: float | None) -> PredictionError:
    """The error to raise for the error of another server.

    Args:
        code: the ErrorCode, from `code_for` or `code_for_grpc`.
        sentence: the error text.
        header: the header or metadata `x-mlp-code`.
        wait: seconds until the next attempt, as the server gives them; None if it gives none.
    """
    if header == CIRCUIT_OPEN and code is ErrorCode.UNAVAILABLE:
        return CircuitOpen(sentence, retry_after=wait)
    return error_for(code, sentence, retry_after=wait)


def code_for(status: int, header: str | None = None) -> ErrorCode:
    """The ErrorCode of another server's HTTP status. An unknown status is INVALID (4xx) or INTERNAL (all others).

    Args:
        header: the header `x-mlp-code`, which has precedence if it is an ErrorCode.
    """
    if header is not None and header in ErrorCode.__members__:
        return ErrorCode(header)
    known = _CODE.get(status)
    if known is not None:
        return known
    return ErrorCode.INVALID if 400 <= status < 500 else ErrorCode.INTERNAL


def grpc_status(code: ErrorCode) -> str:
    """The name of the gRPC status of `code`."""
    return _GRPC[code]


def code_for_grpc(status: str, pushback: float | None = None, header: str | None = None) -> ErrorCode:
    """The ErrorCode of another server's gRPC status. An unknown status is INTERNAL.

    RESOURCE_EXHAUSTED is the status for a message that is too large, and for a client over its rate limit. Only the
    second has a `pushback`.

    Args:
        pushback: seconds until the next attempt; None if the server gives none.
        header: the metadata `x-mlp-code`, which has precedence if it is an ErrorCode.
    """
    if header is not None and header in ErrorCode.__members__:
        return ErrorCode(header)
    if status == "RESOURCE_EXHAUSTED" and pushback is not None:
        return ErrorCode.RATE_LIMITED
    return _CODE_GRPC.get(status, ErrorCode.INTERNAL)


def retry_after(error: PredictionError) -> int | None:
    """The `Retry-After` of an error in whole seconds, 1 to 3600, rounded up; None if a later attempt would fail too.

    It is the error's own `retry_after`. If the error has none, it is 1 for RATE_LIMITED, OVERLOADED and UNAVAILABLE.
    """
    seconds = error.retry_after
    if seconds is None:
        return 1 if error.code in _TRANSIENT else None
    return max(1, ceil(min(seconds, MOST_SECONDS)))


def retry_pushback(error: PredictionError) -> tuple[tuple[bytes, bytes], ...]:
    """The `retry_after` of an error as gRPC metadata, in milliseconds; empty if it is None."""
    seconds = retry_after(error)
    return () if seconds is None else ((PUSHBACK.encode(), b"%d" % (1000 * seconds)),)


def seconds_to_wait(header: str | None) -> float | None:
    """The seconds in a `Retry-After` header, at most 3600; None if the header is absent, a date or malformed."""
    if header is None or not header.isascii() or not header.isdigit():
        return None
    return float(min(int(header[:9]), MOST_SECONDS))


def seconds_to_push_back(milliseconds: str | None) -> float | None:
    """The seconds in `grpc-retry-pushback-ms` metadata, at most 3600; None if it is absent or not a whole number."""
    if milliseconds is None or not milliseconds.isascii() or not milliseconds.isdigit():
        return None
    return min(int(milliseconds[:12]) / 1000, float(MOST_SECONDS))
