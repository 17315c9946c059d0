"""When work is due: cron expressions, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime

from mlpatterns.redaction import quoted
from mlpatterns.user_errors import MissingExtra, SettingsError

__all__ = ["check_cron", "next_time"]


def check_cron(expression: str) -> None:
    """Checks a cron expression.

    Raises:
        SettingsError: it is not a cron expression of five fields, or it never matches.
        MissingExtra: cronsim is not installed.
    """
    next_time(expression, 0.0)


def next_time(expression: str, now: float) -> float:
    """The first time after `now` that the cron expression matches, in UTC; both in seconds since 1970.

    Raises:
        SettingsError: it is not a cron expression of five fields, or it never matches.
        MissingExtra: cronsim is not installed.
    """
    try:
        from cronsim import CronSim, CronSimError
    except ImportError as error:
        raise MissingExtra("a cron schedule", "cron") from error
    try:
        if len(expression.split()) != 5:
            raise CronSimError
        return next(CronSim(expression, datetime.fromtimestamp(now, UTC))).timestamp()
    except (CronSimError, StopIteration):
        raise SettingsError(
            f"{quoted(expression)} is not a cron expression: write five fields, as in '0 * * * *' for every hour (UTC)"
        ) from None
