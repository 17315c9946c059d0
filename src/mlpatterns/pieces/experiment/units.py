"""The users of an experiment, read from the log: their arms, their feedback, and which exposures were lost."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from math import inf
from typing import Literal

import msgspec
import numpy as np
from msgspec import Struct, field

from mlpatterns.analysis.experiment import ArmValues, Outcomes
from mlpatterns.analysis.per_user import PER_USER
from mlpatterns.analysis.srm import Period
from mlpatterns.pieces.experiment.gaps import Gaps
from mlpatterns.pieces.split.split import EXPOSURE
from mlpatterns.stores.log import Feedback, Record
from mlpatterns.user_errors import CompositionError

__all__ = ["Metric", "Population", "Unit"]

MOST_EARLY = 10_000  # the most feedback that waits for the record of its prediction
GRACE = 3600.0  # seconds beyond the window within which feedback may still be read


class Metric(Struct, frozen=True):
    """A measurement of each user.

    Attributes:
        name: the name of the feedback, such as ``converted``; a Boolean counts as 1 or 0, a text is ignored.
        per_user: how the feedback on all predictions of a user becomes one value.
        window: the seconds after a user's first exposure in which feedback counts; the user counts after that.
        partial: whether a user counts before the window is over, with the feedback so far.
        missing: whether a user without feedback counts as 0 or is left out.
        per: for a ratio, the feedback whose sum is the denominator; ``requests`` counts the user's requests.
        better: which direction is good.

    Raises:
        CompositionError: the metric cannot be measured.
    """

    name: str
    per_user: Literal["sum", "mean", "max", "min", "last", "any"] = "any"
    window: float = 86_400.0
    partial: bool = False
    missing: Literal["zero", "left_out"] = "zero"
    per: str | None = None
    better: Literal["higher", "lower"] = "higher"

    def __post_init__(self) -> None:
        if not self.name or self.per_user not in PER_USER or not 0 <= self.window < 1e10:
            raise CompositionError(
                "a Metric needs a name, a way to make one value for each user, and a window of seconds"
            )
        if self.missing not in ("zero", "left_out") or self.better not in ("higher", "lower"):
            raise CompositionError(
                "the missing of a Metric must be 'zero' or 'left_out', and its better 'higher' or 'lower'"
            )


class Exposure(Struct, frozen=True):
    """The content of the note ``exposure`` of a split."""

    arm: str
    unit: str | None
    sticky: bool
    revision: int
    source: str = ""
    number: int = 0


class Unit(Struct):
    """One user.

    Attributes:
        arm, revision, since: the arm, the revision of the weights and the time of the first exposure.
        moved: whether the user has met another arm since then.
        requests: the times of the user's exposures.
        feedback: the value and the time of feedback, by name and prediction id, in the order of arrival.
    """

    arm: str
    revision: int
    since: float
    moved: bool = False
    requests: list[float] = field(default_factory=list)
    feedback: dict[str, dict[str, tuple[float, float]]] = field(default_factory=dict)

    def within(self, name: str, window: float) -> list[float]:
        """The values of the feedback `name` within `window` seconds after the first exposure."""
        return [value for value, at in self.feedback.get(name, {}).values() if at - self.since <= window]


class Population:
    """All users who were exposed. Reading a record again changes nothing, so the log may be read page by page.

    Args:
        path: the path of the split.
        arms: its arms, the control first.
        horizon: the longest window of the metrics, in seconds.

    Attributes:
        gaps: exposures that are not in the log.
        not_sticky: exposures without a user, which are left out.
        first, last: the times of the first and of the last exposure.
    """

    def __init__(self, path: str, arms: Sequence[str], horizon: float = inf) -> None:
        self._path, self.arms, self._horizon = path, tuple(arms), horizon
        self.units: dict[str, Unit] = {}
        self.exposures = self.not_sticky = 0
        self.first = self.last = 0.0
        self._of: dict[str, Unit | None] = {}  # by prediction id; None if there is no user
        self._early: dict[tuple[str, str], Feedback] = {}
        self._recent: deque[tuple[float, str]] = deque()  # times and prediction ids, for `forget`
        self.gaps = Gaps(arms)

    def expose(self, records: Iterable[Record]) -> None:
        """Reads records in the order of the log, each prediction once."""
        for record in records:
            found = self._exposure(record)
            if found is None or record.prediction_id in self._of or found.arm not in self.arms:
                continue
            self.exposures += 1
            self.first = min(self.first or record.at, record.at)
            self.last = max(self.last, record.at)
            if found.source:
                self.gaps.see(found.source, found.arm, found.number, record.at)
            if found.unit is None or not found.sticky:
                self.not_sticky += 1
                self._of[record.prediction_id] = None
            else:
                self._of[record.prediction_id] = self._met(found.unit, found, record.at)
            self._recent.append((record.at, record.prediction_id))
        self.gaps.settle(self.last)

    def forget(self, now: float) -> None:
        """Forgets predictions whose feedback cannot count any more; call it when all feedback is read."""
        while self._recent and self._recent[0][0] < now - self._horizon - GRACE:
            self._of.pop(self._recent.popleft()[1], None)

    def add_feedback(self, feedback: Iterable[Feedback]) -> None:
        """Reads feedback; if a prediction has several values with one name, the last counts. Feedback that arrives
        before the record of its prediction is kept until the record arrives, up to a limit.
        """
        early, self._early = self._early, {}
        for each in (*early.values(), *feedback):
            if not isinstance(each.value, bool | int | float):
                continue
            if each.prediction_id not in self._of:
                if len(self._early) < MOST_EARLY:
                    self._early[each.prediction_id, each.name] = each
                continue
            unit = self._of[each.prediction_id]
            if unit is not None:
                values = unit.feedback.setdefault(each.name, {})
                values.pop(each.prediction_id, None)
                values[each.prediction_id] = float(each.value), each.at

    def outcomes(self, metric: Metric, now: float) -> Outcomes:
        """One value for each user whose window is over, without users who met two arms."""
        arms: dict[str, _Columns] = {arm: _Columns() for arm in self.arms}
        make = PER_USER[metric.per_user]
        for unit in self.units.values():
            if unit.moved or (now < unit.since + metric.window and not metric.partial):
                continue
            columns = arms[unit.arm]
            values = unit.within(metric.name, metric.window)
            columns.missing.append(not values)
            if values or metric.missing == "zero":
                columns.values.append(float(make(values)) if values else 0.0)
                columns.denominators.append(_denominator(metric, unit))
                columns.periods.append(unit.revision)
        ratio = metric.per is not None
        return Outcomes(metric.name, {arm: columns.made(ratio=ratio) for arm, columns in arms.items()}, metric.better)

    def periods(self, buckets: Mapping[int, Mapping[str, int]]) -> dict[int, Period]:
        """Users by the revision of the weights at their first exposure; revisions without `buckets` are left out."""
        users: dict[int, Counter[str]] = defaultdict(Counter)
        for unit in self.units.values():
            users[unit.revision][unit.arm] += 1
        return {revision: Period(users[revision], buckets[revision]) for revision in users if revision in buckets}

    @property
    def moved(self) -> int:
        return sum(unit.moved for unit in self.units.values())

    def _exposure(self, record: Record) -> Exposure | None:
        for note in record.notes:
            if note.key == EXPOSURE and note.path == self._path:
                try:
                    return msgspec.convert(note.value, Exposure)
                except msgspec.ValidationError:
                    return None
        return None

    def _met(self, key: str, found: Exposure, at: float) -> Unit:
        """The user. The log has requests in the order in which they end, so the first exposure may arrive later."""
        unit = self.units.get(key)
        if unit is None:
            unit = self.units[key] = Unit(found.arm, found.revision, at)
        elif unit.arm != found.arm:
            unit.moved = True
        if at <= unit.since + self._horizon:
            unit.requests.append(at)
        if at < unit.since:
            unit.since, unit.arm, unit.revision = at, found.arm, found.revision
        return unit


class _Columns(Struct):
    values: list[float] = field(default_factory=list)
    missing: list[bool] = field(default_factory=list)
    denominators: list[float] = field(default_factory=list)
    periods: list[int] = field(default_factory=list)

    def made(self, *, ratio: bool) -> ArmValues:
        denominators = np.array(self.denominators) if ratio else None
        return ArmValues(np.array(self.values), np.array(self.missing, float), denominators, np.array(self.periods))


def _denominator(metric: Metric, unit: Unit) -> float:
    if metric.per == "requests":
        return float(sum(at <= unit.since + metric.window for at in unit.requests))
    return sum(unit.within(metric.per or "", metric.window))
