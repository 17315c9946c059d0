"""Turns a table of outcomes into one value for each user, for `mlpatterns experiment`."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite

import numpy as np
from msgspec import Struct, field

from mlpatterns.analysis.experiment import ArmValues, Outcomes
from mlpatterns.analysis.per_user import PER_USER
from mlpatterns.cli.tables import Cell, TextTable
from mlpatterns.user_errors import TableError

__all__ = ["Columns", "outcomes_in", "shares_in"]

MOST_ARMS = 100
TRUTH = {"true": 1.0, "false": 0.0, "yes": 1.0, "no": 0.0}


class Columns(Struct, frozen=True):
    """The names of the columns; rows from `until` on are left out."""

    unit: str
    arm: str
    value: str
    per: str | None = None
    time: str | None = None
    until: str | None = None


class User(Struct):
    """The data of one user: the arm, whether another arm was seen too, the values, and the sum of the denominators."""

    arm: str
    moved: bool = False
    values: list[float] = field(default_factory=list)
    denominator: float = 0.0


def outcomes_in(
    table: TextTable, names: Columns, *, control: str | None, per_user: str, missing: str, better: str
) -> tuple[Outcomes, dict[str, int], int]:
    """The outcomes, the number of users by arm, and the number of users who met two arms.

    Users who met two arms are left out of the outcomes.

    Raises:
        TableError: a column is missing, a cell is invalid, or there are fewer than 2 or more than 100 arms.
    """
    users = _users(table, names)
    counts: dict[str, int] = {}
    for user in users.values():
        counts[user.arm] = counts.get(user.arm, 0) + 1
    if not 2 <= len(counts) <= MOST_ARMS:
        raise TableError(
            f"the column {names.arm!r} of {table.name} names {len(counts)} arms; it must be 2 to {MOST_ARMS}"
        )
    first = control or next(iter(counts))
    if first not in counts:
        raise TableError(f"there is no arm {first!r} in {table.name}; the arms are {', '.join(counts)}")
    order = [first, *(arm for arm in counts if arm != first)]
    arms = {arm: _arm([user for user in users.values() if user.arm == arm and not user.moved], names, per_user, missing)
            for arm in order}  # fmt: skip
    moved = sum(user.moved for user in users.values())
    return Outcomes(names.value, arms, better), {arm: counts[arm] for arm in order}, moved


def shares_in(text: str, users: Mapping[str, int]) -> dict[str, float]:
    """The planned shares of the arms, from text such as ``a=60,b=40``.

    Raises:
        TableError: the text has another form, or an arm is missing.
    """
    shares: dict[str, float] = {}
    for part in text.split(","):
        arm, _, number = part.rpartition("=")
        if arm.strip() in shares:
            raise TableError(f"--weights gives the arm {arm.strip()!r} twice")
        try:
            shares[arm.strip()] = float(number)
        except ValueError:
            raise TableError(f"--weights must be ARM=NUMBER,ARM=NUMBER, not {part!r}") from None
    wrong = [arm for arm, share in shares.items() if not (isfinite(share) and share >= 0)]
    if wrong or sum(shares.values()) <= 0:
        raise TableError("--weights must be numbers of 0 or more, not all 0")
    lacking = [arm for arm in users if arm not in shares]
    if lacking:
        raise TableError(f"--weights has no value for the arm {lacking[0]!r}")
    return shares


def _users(table: TextTable, names: Columns) -> dict[str, User]:
    units, arms, values = (_column(table, name) for name in (names.unit, names.arm, names.value))
    denominators = _column(table, names.per) if names.per else [1.0] * table.rows
    times = _column(table, names.time) if names.time else [None] * table.rows
    users: dict[str, User] = {}
    for index in range(table.rows):
        if names.time and not _is_before(table, names, times[index], index):
            continue
        unit, arm = units[index], arms[index]
        for name, cell in ((names.unit, unit), (names.arm, arm)):
            if not isinstance(cell, str) or not cell:
                raise TableError(f"the column {name!r} of {table.name} is empty in line {table.first + index}")
        user = users.setdefault(str(unit), User(str(arm)))
        user.moved = user.moved or user.arm != arm
        value = _number(table, names.value, values[index], index)
        if value is not None:
            user.values.append(value)
        user.denominator += _number(table, names.per or "", denominators[index], index) or 0.0
    return users


def _arm(users: list[User], names: Columns, per_user: str, missing: str) -> ArmValues:
    kept = [user for user in users if user.values or missing == "zero"]
    make = PER_USER[per_user]
    values = np.array([make(user.values) if user.values else 0.0 for user in kept], float)
    denominators = np.array([user.denominator for user in kept], float) if names.per else None
    return ArmValues(values, np.array([not user.values for user in users], float), denominators)


def _is_before(table: TextTable, names: Columns, time: Cell, index: int) -> bool:
    """Whether a row is before `until`. Numbers are compared as numbers; texts, such as ISO 8601 dates, as texts."""
    assert names.until is not None
    if time is None:
        raise TableError(f"the column {names.time!r} of {table.name} is empty in line {table.first + index}")
    if isinstance(time, str):
        return time < names.until
    try:
        return time < float(names.until)
    except ValueError:
        raise TableError(f"the column {names.time!r} of {table.name} holds numbers, so --until must be one") from None


def _column(table: TextTable, name: str) -> list[Cell]:
    if name not in table.columns:
        raise TableError(f"{table.name} has no column {name!r}; it has {', '.join(table.columns)}")
    return table.columns[name]


def _number(table: TextTable, name: str, cell: Cell, index: int) -> float | None:
    """A finite number, or None for an empty cell."""
    value = TRUTH.get(cell.lower()) if isinstance(cell, str) else cell
    if (value is None and cell is not None) or (value is not None and not isfinite(value)):
        shown = str(cell)[:40]
        raise TableError(
            f"the column {name!r} of {table.name} holds {shown!r} in line {table.first + index}; it must be a number, "
            "true, false or nothing"
        )
    return value
