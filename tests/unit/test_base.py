"""Why work ended: a passed deadline, a client that left, or an error."""

from __future__ import annotations

import asyncio

import pytest

from mlpatterns.base import CLIENT_LEFT, ended
from mlpatterns.errors import ErrorCode, InvalidInput, NotStarted, Overloaded
from mlpatterns.testing import FakeClock, request


@pytest.mark.parametrize(
    ("deadline", "expected"),
    [
        (None, CLIENT_LEFT),
        (1060.0, CLIENT_LEFT),
        (1000.5, CLIENT_LEFT),
        (1000.0, ErrorCode.DEADLINE),
        (999.0, ErrorCode.DEADLINE),
        (1000.01, ErrorCode.DEADLINE),  # the client's clock may be a little ahead of ours
    ],
)
def test_behind_a_cancellation_is_the_deadline_if_it_has_passed_and_else_a_client_that_left(
    deadline: float | None, expected: str
) -> None:
    asked = request([[1.0]], deadline=deadline)
    assert ended(asyncio.CancelledError(), asked, FakeClock(monotonic=1000.0)) == expected


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidInput("no"), ErrorCode.INVALID),
        (Overloaded("full"), ErrorCode.OVERLOADED),
        (NotStarted("m"), ErrorCode.UNAVAILABLE),
        (ValueError("a bug"), ErrorCode.INTERNAL),
        (SystemExit(1), ErrorCode.INTERNAL),
        (GeneratorExit(), ErrorCode.INTERNAL),
    ],
)
def test_an_error_has_its_own_code_and_one_of_no_kind_of_ours_is_internal(error: BaseException, code: str) -> None:
    asked = request([[1.0]], deadline=1.0)
    assert ended(error, asked, FakeClock()) == code
