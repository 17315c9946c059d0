"""What becomes of a job by the code of its error, by how often it failed, by the time that is left."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlpatterns.errors import ErrorCode
from mlpatterns.programs.job_options import JobOptions
from mlpatterns.stores.jobs import Claim
from mlpatterns.user_errors import CompositionError

PUT_BACK = {ErrorCode.OVERLOADED, ErrorCode.RATE_LIMITED, ErrorCode.UNAVAILABLE}
COUNT = {ErrorCode.INTERNAL, ErrorCode.DEADLINE}


def options(**others: Any) -> JobOptions:
    known = {
        "concurrency": 2, "lease": None, "max_run": 300.0, "job_timeout": 3600.0, "max_attempts": 3, "backoff": 1.0,
        "backoff_most": 60.0, "ttl": 10.0, "dead_ttl": 100.0, "max_queued": 10, "max_queued_bytes": 10**6,
        "max_payload_bytes": 10**6,
    }  # fmt: skip
    return JobOptions(**{**known, **others})


def claim(attempt: int = 1, failures: int = 0, left: float = 3600.0) -> Claim:
    return Claim("id", 1, attempt, failures, b"", left, 0.0)


@pytest.mark.parametrize("code", list(ErrorCode))
def test_each_code_has_its_end(code: ErrorCode) -> None:
    first = options().after(claim(), code, "the words")
    last = options().after(claim(9, 2), code, "the words")
    if code in PUT_BACK:
        assert [(each.state, each.counted) for each in (first, last)] == [("queued", False)] * 2
    elif code in COUNT:
        assert (first.state, first.counted) == ("queued", True)
        assert (last.state, last.keep) == ("dead", 100.0)
    else:
        assert (first.state, first.keep, first.delay) == ("failed", 10.0, 0.0)
    assert (first.code, first.error) == (code, "the words")


@given(attempt=st.integers(1, 10**6), retry=st.one_of(st.none(), st.floats(0, 100)))
def test_the_back_off_doubles_up_to_its_most_and_is_never_before_what_was_asked(
    attempt: int, retry: float | None
) -> None:
    delay = options().after(claim(attempt), ErrorCode.UNAVAILABLE, "", retry).delay
    most = min(60.0, 2.0 ** min(attempt - 1, 30))
    assert most / 2 <= delay <= max(most, retry or 0.0)
    assert delay >= (retry or 0.0)


def test_what_would_be_tried_again_after_its_time_is_a_dead_letter_now() -> None:
    ended = options().after(claim(left=5.0), ErrorCode.UNAVAILABLE, "down", 10.0)
    assert (ended.state, ended.code) == ("dead", "UNAVAILABLE")


def test_what_no_text_of_a_store_can_hold_is_replaced() -> None:
    assert options().after(claim(), ErrorCode.INVALID, "a\0b\ud800c").error == "a\ufffdb?c"
    assert len(options().after(claim(), ErrorCode.INVALID, "x" * 10**6).error) == 2000


@pytest.mark.parametrize("value", [0, -1.0, float("nan"), float("inf")])
def test_an_option_that_makes_no_sense_is_named(value: float) -> None:
    with pytest.raises(CompositionError, match="max_run of a JobQueue"):
        options(max_run=value)
