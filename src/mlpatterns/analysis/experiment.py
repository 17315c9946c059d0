"""The verdict of an experiment, computed from one value per user: whether the numbers of users fit the weights, the
effect of each arm, and whether the experiment may be stopped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite

import numpy as np
from msgspec import Struct

from mlpatterns.analysis.sequential import (
    ALPHA,
    TUNING,
    Estimate,
    interval,
    mean_of,
    minimum_effect,
    ratio_of,
    stratified,
)
from mlpatterns.analysis.srm import ALARM, Period, mismatch
from mlpatterns.metadata import Array

__all__ = ["MIN_EVENTS", "MIN_USERS", "ArmResult", "ArmValues", "MetricResult", "Outcomes", "Verdict", "verdict_of"]

MIN_USERS, MIN_EVENTS = 100, 10  # in each arm, before any conclusion


class ArmValues(Struct, frozen=True):
    """The values of the users of one arm.

    Attributes:
        values: one value per user who counts.
        denominators: for a ratio, one value per user; None for a mean.
        periods: the number of the period of each user; arms are compared within periods. None means one period.
        missing: for each user of the arm, whether feedback is missing, including users who are left out because of it.
    """

    values: Array
    missing: Array
    denominators: Array | None = None
    periods: Array | None = None

    def within(self, period: int) -> ArmValues:
        """The users who came in one period."""
        if self.periods is None:
            return self
        at = self.periods == period
        denominators = None if self.denominators is None else self.denominators[at]
        return ArmValues(self.values[at], self.missing, denominators)


class Outcomes(Struct, frozen=True):
    """One metric: its arms by name, the control first. `better` is the direction of an improvement."""

    name: str
    arms: Mapping[str, ArmValues]
    better: str = "higher"


class ArmResult(Struct, frozen=True):
    """One arm in one metric.

    Attributes:
        missing: the share of users without feedback.
        effect, lower, upper: the difference from the control with its confidence sequence; None for the control, and
            the bounds are None while they are infinite.
        p: a p-value that is valid at any time.
        missing_p: the p-value of the share without feedback against that of the control.
        detectable: the smallest effect that is found with a probability of 0.8 at the present number of users.
        enough: whether it has enough users and events for a conclusion.
        conclusion: ``better``, ``worse``, or empty without a conclusion.
    """

    users: int
    events: int
    value: float
    missing: float
    effect: float | None = None
    lower: float | None = None
    upper: float | None = None
    p: float | None = None
    missing_p: float | None = None
    detectable: float | None = None
    enough: bool = False
    conclusion: str = ""


class MetricResult(Struct, frozen=True):
    """One metric by arm, the control first."""

    name: str
    better: str
    arms: dict[str, ArmResult]


class Verdict(Struct, frozen=True):
    """The present verdict of an experiment.

    Attributes:
        state: ``running``; ``decided``: the first metric has a conclusion, and the experiment may be stopped;
            ``frozen``: exposures are being lost, so nothing is concluded; ``invalid``: the numbers of users do not fit
            the weights, so nothing may be concluded until the cause is found.
        says: the verdict in a sentence.
        srm_p: the p-value of the numbers of users; at most 0.001 is a sample ratio mismatch.
    """

    state: str
    says: str
    srm_p: float
    metrics: list[MetricResult]
    warnings: list[str]


def verdict_of(
    outcomes: Sequence[Outcomes],
    periods: Sequence[Period],
    *,
    frozen: str = "",
    alpha: float = ALPHA,
    tuning: float = TUNING,
) -> Verdict:
    """The verdict of an experiment.

    The first metric decides, and several arms share `alpha` evenly (Bonferroni).

    Args:
        frozen: the reason why nothing may be concluded now; empty if there is none.
    """
    results = [_metric(one, alpha, tuning) for one in outcomes]
    warnings = [warning for result in results for warning in _warnings(result)]
    srm_p = mismatch(periods)
    state, says = _said(results[0], srm_p, frozen)
    return Verdict(state, says, srm_p, results, warnings)


def _said(first: MetricResult, srm_p: float, frozen: str) -> tuple[str, str]:
    if srm_p <= ALARM:
        return "invalid", "the numbers of users do not fit the weights (sample ratio mismatch): find the cause"
    if frozen:
        return "frozen", f"no conclusion is possible now: {frozen}"
    found = {arm: result.conclusion for arm, result in first.arms.items() if result.conclusion}
    if found:
        control = next(iter(first.arms))
        what = ", ".join(f"{arm} is {conclusion} than {control}" for arm, conclusion in found.items())
        return "decided", f"{what} in {first.name}: the experiment may be stopped"
    if not all(result.enough for result in first.arms.values()):
        return (
            "running",
            f"too few users or events yet: each arm needs {MIN_USERS} users and {MIN_EVENTS} events in {first.name}",
        )
    return "running", f"no difference in {first.name} is significant yet"


def _metric(outcomes: Outcomes, alpha: float, tuning: float) -> MetricResult:
    (control_name, control), *others = outcomes.arms.items()
    alpha = alpha / max(1, len(others))
    base = _estimate(control)
    arms = {control_name: _arm(control, base)}
    for name, arm in others:
        arms[name] = _compared(arm, base, control, outcomes.better, alpha, tuning)
    return MetricResult(outcomes.name, outcomes.better, arms)


def _compared(
    arm: ArmValues, base: Estimate, control: ArmValues, better: str, alpha: float, tuning: float
) -> ArmResult:
    own, alone = _estimate(arm), _arm(arm, _estimate(arm))
    periods = [0] if control.periods is None else np.unique(control.periods).tolist()
    found = stratified([(_estimate(control.within(p)), _estimate(arm.within(p))) for p in periods], alpha, tuning)
    gone = interval(mean_of(control.missing), mean_of(arm.missing), alpha, tuning)
    enough = alone.enough and _enough(base)
    conclusion = ""
    if enough and found.excludes_zero:
        conclusion = "better" if (found.effect > 0) == (better == "higher") else "worse"
    users = base.users + own.users
    detectable = None
    if enough:
        spread = users * (base.variance / base.users + own.variance / own.users)
        detectable = minimum_effect(spread, users, alpha=alpha, tuning=tuning) if spread > 0 else None
    return ArmResult(
        alone.users, alone.events, alone.value, alone.missing, found.effect,
        found.lower if isfinite(found.lower) else None, found.upper if isfinite(found.upper) else None,
        found.p, gone.p, detectable, enough, conclusion,
    )  # fmt: skip


def _arm(arm: ArmValues, own: Estimate) -> ArmResult:
    missing = float(np.mean(arm.missing)) if len(arm.missing) else 0.0
    return ArmResult(own.users, own.events, own.value, missing, enough=_enough(own))


def _estimate(arm: ArmValues) -> Estimate:
    return mean_of(arm.values) if arm.denominators is None else ratio_of(arm.values, arm.denominators)


def _enough(own: Estimate) -> bool:
    return own.users >= MIN_USERS and own.events >= MIN_EVENTS


def _warnings(result: MetricResult) -> list[str]:
    control = next(iter(result.arms.values()))
    return [
        f"{result.name}: {one.missing:.1%} of the users of {arm} have no value, {control.missing:.1%} of the control"
        for arm, one in result.arms.items()
        if one.missing_p is not None and one.missing_p <= ALARM
    ]
