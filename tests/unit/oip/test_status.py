"""Every code has an HTTP status, and every status of another server has a code."""

import math

import grpc
import pytest

from mlpatterns.errors import DeadlineExceeded, ErrorCode, InvalidInput, Overloaded, RateLimited, Unavailable, error_for
from mlpatterns.oip.status import (
    code_for,
    code_for_grpc,
    grpc_status,
    http_status,
    retry_after,
    seconds_to_push_back,
    seconds_to_wait,
)


@pytest.mark.parametrize("code", ErrorCode)
def test_every_code_is_an_http_error(code: ErrorCode) -> None:
    assert 400 <= http_status(code) < 600


@pytest.mark.parametrize("code", sorted(set(ErrorCode) - {ErrorCode.OVERLOADED}))
def test_a_code_survives_the_way_to_a_client(code: ErrorCode) -> None:
    assert code_for(http_status(code)) is code


def test_a_full_server_looks_unavailable_from_outside() -> None:
    assert code_for(http_status(ErrorCode.OVERLOADED)) is ErrorCode.UNAVAILABLE


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (403, ErrorCode.DENIED),
        (405, ErrorCode.UNSUPPORTED),
        (408, ErrorCode.DEADLINE),
        (418, ErrorCode.INVALID),
        (422, ErrorCode.INVALID),
        (502, ErrorCode.UNAVAILABLE),
        (599, ErrorCode.INTERNAL),
        (302, ErrorCode.INTERNAL),
    ],
)
def test_a_status_that_only_others_answer_has_a_code(status: int, code: ErrorCode) -> None:
    assert code_for(status) is code


def test_only_errors_that_time_mends_say_when_to_retry() -> None:
    assert retry_after(InvalidInput("no")) is None
    assert retry_after(DeadlineExceeded()) is None
    assert retry_after(RateLimited("slower")) == 1
    assert retry_after(Overloaded("full")) == 1
    assert retry_after(Unavailable("down")) == 1


@pytest.mark.parametrize(("seconds", "said"), [(0.0, 1), (0.2, 1), (1.0, 1), (2.1, 3), (-4.0, 1), (math.inf, 3600)])
def test_seconds_to_retry_are_whole_rounded_up_and_bounded(seconds: float, said: int) -> None:
    assert retry_after(RateLimited("slower", retry_after=seconds)) == said


@pytest.mark.parametrize(
    ("header", "seconds"),
    [(None, None), ("2", 2.0), ("0", 0.0), ("", None), ("-1", None), ("1.5", None), ("٣", None), ("9" * 5000, 3600.0),
     ("Wed, 21 Oct 2015 07:28:00 GMT", None)],
)  # fmt: skip
def test_a_retry_header_is_read_only_if_it_is_whole_seconds(header: str | None, seconds: float | None) -> None:
    assert seconds_to_wait(header) == seconds


# ---- gRPC --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", sorted(set(ErrorCode) - {ErrorCode.OVERLOADED}))
def test_a_code_survives_the_way_over_grpc(code: ErrorCode) -> None:
    """As the server sends it: without a time of its own too."""
    assert code_for_grpc(grpc_status(code), retry_after(error_for(code, "because"))) is code


def test_a_full_server_looks_unavailable_over_grpc_too() -> None:
    assert code_for_grpc(grpc_status(ErrorCode.OVERLOADED), 1.0) is ErrorCode.UNAVAILABLE


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("CANCELLED", ErrorCode.UNAVAILABLE),
        ("UNKNOWN", ErrorCode.INTERNAL),
        ("ALREADY_EXISTS", ErrorCode.CONFLICT),
        ("PERMISSION_DENIED", ErrorCode.DENIED),
        ("FAILED_PRECONDITION", ErrorCode.INVALID),
        ("OUT_OF_RANGE", ErrorCode.INVALID),
        ("DATA_LOSS", ErrorCode.INTERNAL),
    ],
)
def test_a_grpc_status_that_only_others_answer_has_a_code(status: str, code: ErrorCode) -> None:
    assert code_for_grpc(status) is code


def test_every_status_is_one_that_grpc_knows() -> None:
    assert {grpc_status(code) for code in ErrorCode} <= {status.name for status in grpc.StatusCode}


@pytest.mark.parametrize(
    ("said", "seconds"),
    [(None, None), ("1500", 1.5), ("0", 0.0), ("", None), ("-1", None), ("9" * 5000, 3600.0), ("٣", None)],
)
def test_a_pushback_is_read_only_if_it_is_whole_milliseconds(said: str | None, seconds: float | None) -> None:
    assert seconds_to_push_back(said) == seconds
