"""When work is due: cron expressions, in UTC.

Five fields, minute, hour, day of the month, month and day of the week: `*`, numbers, `1-5`, `*/15`, `1-20/5`, lists of
them, and names as in `JAN` and `MON`. Where both days are said, either will do; a field that begins with `*` says none
(as Debian's cron has it, crontab(5)).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from msgspec import Struct

from mlpatterns.errors import SettingsError
from mlpatterns.redaction import quoted

__all__ = ["check_cron", "next_time"]

MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
FIELDS: tuple[tuple[int, int, dict[str, int]], ...] = (
    (0, 59, {}),
    (0, 23, {}),
    (1, 31, {}),
    (1, 12, {name: month for month, name in enumerate(MONTHS, 1)}),
    (0, 7, {name: day for day, name in enumerate(DAYS)}),
)
MOST_DAYS = 8 * 366 + 1  # from one 29 February to the next, over a century's end
_PART = re.compile(r"(?:\*|(\w+)(?:-(\w+))?)(?:/([0-9]{1,2}))?")


class Schedule(Struct, frozen=True):
    """The values of each field; `either`: one of the two days is enough."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either: bool

    def has(self, day: datetime) -> bool:
        by_date, by_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return day.month in self.months and ((by_date or by_week) if self.either else (by_date and by_week))


def check_cron(expression: str) -> None:
    """Raises SettingsError if it is no cron expression of five fields, or one that never comes."""
    next_time(expression, 0.0)


def next_time(expression: str, now: float) -> float:
    """The first time after `now` that the expression means, in UTC; both in seconds since 1970.

    Raises:
        SettingsError: it is no cron expression, or means no day that there is.
    """
    schedule = _parsed(expression)
    start = datetime.fromtimestamp(now, UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
    day = start.replace(hour=0, minute=0)
    for _ in range(MOST_DAYS):
        if schedule.has(day):
            for hour in sorted(schedule.hours):
                for minute in sorted(schedule.minutes):
                    found = day.replace(hour=hour, minute=minute)
                    if found >= start:
                        return found.timestamp()
        day += timedelta(days=1)
    raise _wrong(expression)


@lru_cache(maxsize=16)
def _parsed(expression: str) -> Schedule:
    texts = expression.split(" ") if len(expression) <= 256 else []
    texts = [text for text in texts if text]
    if len(texts) != len(FIELDS):
        raise _wrong(expression)
    try:
        found = [_values(text.upper(), *field) for text, field in zip(texts, FIELDS, strict=True)]
    except ValueError:
        raise _wrong(expression) from None
    either = not texts[2].startswith("*") and not texts[4].startswith("*")
    minutes, hours, days, months, weekdays = map(frozenset, found)
    return Schedule(minutes, hours, days, months, frozenset(day % 7 for day in weekdays), either)


def _values(text: str, least: int, most: int, names: dict[str, int]) -> set[int]:
    found: set[int] = set()
    for part in text.split(","):
        match = _PART.fullmatch(part)
        if match is None:
            raise ValueError
        first, last, step = match.groups()
        if first is None:
            low, high = least, most
        else:
            low = _number(first, names)
            high = _number(last, names) if last else most if step else low
        if not least <= low <= high <= most or step == "0" or step == "00":
            raise ValueError
        found.update(range(low, high + 1, int(step or 1)))
    return found


def _number(text: str, names: dict[str, int]) -> int:
    if text in names:
        return names[text]
    if not (text.isascii() and text.isdigit() and len(text) <= 2):
        raise ValueError
    return int(text)


def _wrong(expression: str) -> SettingsError:
    return SettingsError(
        f"{quoted(expression)} is no cron expression: write five fields, as in '0 * * * *' for every hour (UTC)"
    )
