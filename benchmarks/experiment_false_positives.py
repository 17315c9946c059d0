"""How often an experiment tells equal arms apart, and how often it finds what it says that it can find.

*Claim.* Two equal arms are told apart in at most 5 % of experiments, though one looks 40 times; a test for a fixed
horizon, looked at as often, does so in about 30 %. The power that is computed is the one that is met, to 3 points. The
sample ratio alarms in at most 0.1 % of fair runs, though one looks 200 times.

*Method.* Simulated users with no server: each converts with a chance of his own (a beta distribution around 10 %) in
each of ten requests. A user counts once, as converted or not. From 100 users an arm on, 40 looks at equal distances up
to 4,000 an arm; 2,000 experiments of each kind (200 with --quick). The tests are the functions that `Experiment` and
`mlpatterns experiment` call. The fixed-horizon test is the z-test of two proportions at 5 %, by users and by requests.

*Why it is fair.* The same simulated users are given to all tests. The z-test by users, looked at once at the end, is
right, and is shown beside the others.
"""

from __future__ import annotations

from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct

from benchmarks.records import Goal, Plan, Report, Table
from mlpatterns.analysis.sequential import Estimate, interval, minimum_effect
from mlpatterns.analysis.srm import ALARM, Period, mismatch

__all__ = ["Shares", "run", "simulated"]

MOST, FIRST, LOOKS, REQUESTS = 4_000, 100, 40, 10
RATE, SPREAD = 0.1, 1.0  # of a request, and how alike the users are
ALPHA, NORMAL = 0.05, 1.959964
SRM_LOOKS, SRM_USERS = 200, 50

Array = np.ndarray[Any, np.dtype[Any]]


class Shares(Struct, frozen=True):
    """Shares of experiments in which the arms were told apart, or the sample ratio alarmed."""

    ours: float
    fixed_once: float
    fixed_often: float
    by_requests: float
    power: float
    power_said: float
    srm: float
    srm_by_requests: float


def simulated(runs: int, seed: int = 1) -> Shares:
    """All of it, `runs` times."""
    rng = np.random.default_rng(seed)
    ours = once = often = requests = 0
    for _ in range(runs):
        asked = rng.binomial(REQUESTS, rng.beta(RATE * SPREAD, (1 - RATE) * SPREAD, (2, MOST)))
        converted = (asked > 0).cumsum(axis=1)
        apart = [_apart(converted, n) for n in _looks()]
        ours += any(excluded for excluded, _ in apart)
        often += any(z > NORMAL for _, z in apart)
        once += apart[-1][1] > NORMAL
        requests += _z(asked.sum(axis=1), MOST * REQUESTS) > NORMAL
    found, said = _power(rng, runs)
    srm, srm_by_requests = _srm(rng, runs)
    return Shares(ours / runs, once / runs, often / runs, requests / runs, found, said, srm, srm_by_requests)


def run(plan: Plan, folder: Path) -> Report:
    """2,000 experiments of each kind, or a tenth."""
    runs = 200 if plan.quick else 2_000
    found = simulated(runs)
    slack = 0.03 if runs >= 2_000 else 0.1
    goals = (
        Goal(f"equal arms told apart, {LOOKS} looks", "<= 5 %", f"{found.ours:.1%}", found.ours <= ALPHA),
        Goal("power at the effect that is found in 8 of 10", "the one computed, to 3 points",
             f"{found.power:.1%} of {found.power_said:.1%}", abs(found.power - found.power_said) <= slack),
        Goal(f"false alarms of the sample ratio, {SRM_LOOKS} looks", "<= 0.1 %", f"{found.srm:.2%}",
             found.srm <= ALARM),
    )  # fmt: skip
    rows = (
        (f"confidence sequence by users, {LOOKS} looks", f"{found.ours:.1%}"),
        (f"z-test by users, {LOOKS} looks", f"{found.fixed_often:.1%}"),
        ("z-test by users, one look", f"{found.fixed_once:.1%}"),
        (f"z-test by requests, {REQUESTS} a user, one look", f"{found.by_requests:.1%}"),
        (f"sample ratio by users at {ALARM}, {SRM_LOOKS} looks", f"{found.srm:.2%}"),
        (f"sample ratio by requests at {ALARM}, {SRM_LOOKS} looks", f"{found.srm_by_requests:.2%}"),
    )
    return Report(
        goals=goals,
        tables=(Table(f"equal arms told apart, of {runs:,} experiments", ("test", "told apart"), rows),),
        raw={"shares": {name: getattr(found, name) for name in Shares.__struct_fields__}},
    )


def _looks() -> list[int]:
    return [int(n) for n in np.linspace(FIRST, MOST, LOOKS)]


def _apart(converted: Array, n: int) -> tuple[bool, float]:
    """Whether the sequence leaves 0 out at `n` users an arm, and the z of a test that looks once."""
    counts = converted[:, n - 1]
    rates = counts / n
    a, b = (Estimate(n, r, r * (1 - r) * n / (n - 1), int(c)) for r, c in zip(rates, counts, strict=True))
    enough = min(counts) >= 10
    return enough and interval(a, b, ALPHA).excludes_zero, _z(counts, n)


def _z(counts: Array, n: int) -> float:
    pooled = counts.sum() / (2 * n)
    error = sqrt(2 * pooled * (1 - pooled) / n)
    return float(abs(counts[0] - counts[1]) / n / error) if error else 0.0


def _power(rng: np.random.Generator, runs: int) -> tuple[float, float]:
    """How often an effect is found that is to be found in 8 of 10."""
    rate = 0.2
    spread = 2 * 2 * rate * (1 - rate)
    effect = minimum_effect(spread, 2 * MOST, wanted=0.8, looks=LOOKS)
    rates = np.array([rate - effect / 2, rate + effect / 2])
    steps = np.arange(1, LOOKS + 1) * (MOST // LOOKS)
    hits = 0
    for _ in range(runs):
        converted = (rng.random((2, MOST)) < rates[:, None]).cumsum(axis=1)
        hits += any(_apart(converted, n)[0] for n in steps.tolist())
    return hits / runs, 0.8


def _srm(rng: np.random.Generator, runs: int) -> tuple[float, float]:
    """False alarms where 60 of 100 users meet the one arm, each with as many requests as it may be."""
    users = requests = 0
    for _ in range(runs):
        arms = rng.random(SRM_LOOKS * SRM_USERS) < 0.6
        asks = rng.geometric(1 / REQUESTS, arms.size)
        users += _alarms(np.stack([arms, ~arms]))
        requests += _alarms(np.stack([arms * asks, ~arms * asks]))
    return users / runs, requests / runs


def _alarms(weights: Array) -> bool:
    counts = weights.cumsum(axis=1)[:, SRM_USERS - 1 :: SRM_USERS]
    shares = {"a": 60, "b": 40}
    return any(mismatch([Period({"a": int(a), "b": int(b)}, shares)]) <= ALARM for a, b in counts.T)
