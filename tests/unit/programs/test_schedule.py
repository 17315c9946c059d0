"""Cron expressions, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mlpatterns.programs.schedule import check_cron, next_time
from mlpatterns.user_errors import SettingsError


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("expression", "now", "then"),
    [
        ("0 * * * *", "2026-01-01T10:00:00", "2026-01-01T11:00:00"),
        ("0 * * * *", "2026-01-01T10:59:59.5", "2026-01-01T11:00:00"),
        ("*/15 * * * *", "2026-01-01T10:01:00", "2026-01-01T10:15:00"),
        ("30 2 29 2 *", "2026-01-01T00:00:00", "2028-02-29T02:30:00"),
        ("30 2 * * SUN", "2026-03-29T00:30:00", "2026-03-29T02:30:00"),  # an hour that some zones leave out
    ],
)
def test_the_next_time(expression: str, now: str, then: str) -> None:
    assert next_time(expression, at(now)) == at(then)


@pytest.mark.parametrize(
    "expression", ["", "* * * *", "60 * * * *", "every hour", "* * * * * *", "0 0 30 2 *", "@hourly"]
)
def test_what_never_comes_is_refused(expression: str) -> None:
    with pytest.raises(SettingsError, match="not a cron expression"):
        check_cron(expression)
