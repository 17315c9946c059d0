"""`find_limit`: the highest rate that a server keeps up with, and what to set for it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from mlpatterns.load.attack import attack
from mlpatterns.load.durations import duration
from mlpatterns.load.report import Report, Step
from mlpatterns.load.target import Target
from mlpatterns.user_errors import UserError

__all__ = ["Limits", "Trial", "find_limit"]

LIGHT, LIGHT_SECONDS = 10.0, 1.0  # the rate that any server should bear, to see how long it takes alone
KEPT = 0.97  # the share of the rate that is answered well and in time where a server keeps up
SUCCESS = 0.99  # of the answers
NEAR = 0.9  # a share at which a failed trial may be a hiccup: it is tried once more
CLOSE = 1.1  # the highest rate that held and the lowest that did not are as close as this at the end
BELOW, ABOVE = 0.95, 1.04  # of the throughput under overload: where the limit is looked for first
MOST_TRIALS, MOST_RATE = 24, 100_000
QUEUED = 1.0  # seconds of waiting that the recommended queue holds

Attack = Callable[..., Any]


class Trial(Struct, frozen=True):
    """One rate that was tried; `why` says what broke, and is empty if it held."""

    step: Step
    why: str


class Limits(Struct, frozen=True):
    """What a server bears.

    Attributes:
        rate: the highest rate that held, requests a second.
        broken: the lowest rate that did not; None if none was found.
        why: what broke there.
        capacity: good answers a second when it was asked for more than it bears; without that, `rate`.
        alone: seconds that an answer takes under light load, the median.
        concurrency: requests that are inside at the capacity, by Little's law: capacity times `alone`.
        max_queue: requests that may wait so that none waits longer than a second.
        trials: in the order in which they ran.
    """

    rate: float
    broken: float | None
    why: str
    capacity: float
    alone: float
    concurrency: int
    max_queue: int
    trials: tuple[Trial, ...]


async def find_limit(
    targets: str | Target | Sequence[Target],
    *,
    seconds: float = 2.0,
    p99: float | None = None,
    told: Callable[[Trial], None] | None = None,
    attack: Attack = attack,
    **options: Any,
) -> Limits:
    """Doubles the rate until the server does not keep up, then closes in on the rate at which it begins not to.

    A rate holds if at least 97 % of it is answered well by the time that an answer takes after the last request, at
    least 99 % of the answers are good, and, if `p99` is given, 99 % of them take no longer.

    Args:
        targets: as those of `attack`.
        seconds: of load at each rate.
        p99: seconds that 99 % of the answers may take.
        told: called after each trial.
        options: of `attack`, except rate and seconds.
        attack: what sends the load.

    Raises:
        UserError: the server does not even answer 10 requests a second well.
    """
    light: Report = await attack(targets, rate=LIGHT, seconds=LIGHT_SECONDS, **options)
    alone = light.latencies.p50
    if light.success < SUCCESS or (p99 is not None and alone > p99):
        said = ", ".join(light.errors) or f"an answer takes {duration(alone)}"
        raise UserError(f"the server does not bear {LIGHT:g} requests a second: {said}")
    search = _Search(LIGHT, max(2 * LIGHT, min(1.0 / max(alone, 1e-4), MOST_RATE)))
    trials: list[Trial] = []
    while search.next is not None and len(trials) < MOST_TRIALS:
        rate = search.next
        trial = await _tried(attack, targets, rate, seconds, alone, p99, options)
        trials.append(trial)
        if told is not None:
            told(trial)
        search.learn(trial)
    return _limits(search, trials, alone)


async def _tried(
    attack: Attack, targets: Any, rate: float, seconds: float, alone: float, p99: float | None, options: Any
) -> Trial:
    """A rate, tried again if it only just did not hold: a hiccup of the machine is no limit of the server."""
    for last in (False, True):
        report: Report = await attack(targets, rate=rate, seconds=seconds, **options)
        step = report.steps[0]
        why = _why(step, alone, p99)
        if not why or last or step.throughput < NEAR * rate:
            break
    return Trial(step, why)


def _why(step: Step, alone: float, p99: float | None) -> str:
    """What broke; empty if nothing did."""
    in_time = step.success * step.requests / (step.attack + max(0.0, step.wait - alone)) if step.requests else 0.0
    if step.success < SUCCESS:
        return f"{1 - step.success:.1%} failed: {', '.join(step.errors)}"
    if step.rate < KEPT * step.planned_rate:
        return f"this machine could send only {step.rate:.0f}/s"
    if in_time < KEPT * step.planned_rate:
        return f"only {in_time:.0f}/s were answered"
    if p99 is not None and step.latencies.p99 > p99:
        return f"p99 was {duration(step.latencies.p99)}"
    return ""


class _Search:
    """Which rate to try next.

    Attributes:
        low, high: the highest rate that held and the lowest that did not.
        next: the rate to try; None when the two are close.
    """

    def __init__(self, low: float, start: float) -> None:
        self.low, self.high = low, math.inf
        self.next: float | None = min(start, MOST_RATE)
        self.why = ""
        self.capacity = 0.0

    def learn(self, trial: Trial) -> None:
        rate = trial.step.planned_rate
        if trial.why:
            self.high, self.why = min(self.high, rate), trial.why
            self.capacity = max(self.capacity, trial.step.throughput)
        else:
            self.low = max(self.low, rate)
        self.next = self._choose()

    def _choose(self) -> float | None:
        if math.isinf(self.high):
            return None if self.low >= MOST_RATE else min(2 * self.low, MOST_RATE)
        if self.high / self.low <= CLOSE:
            return None
        near = [self.capacity * BELOW, self.capacity * ABOVE]
        if self.low >= near[0]:  # the capacity was nearly held: a little more decides
            near = [max(near[1], self.low * CLOSE * 0.99)]
        return next((guess for guess in near if self.low < guess < self.high), math.sqrt(self.low * self.high))


def _limits(search: _Search, trials: Sequence[Trial], alone: float) -> Limits:
    capacity = max(search.capacity, search.low) if search.capacity else search.low
    return Limits(
        rate=search.low,
        broken=None if math.isinf(search.high) else search.high,
        why=search.why,
        capacity=capacity,
        alone=alone,
        concurrency=max(1, round(capacity * alone)),
        max_queue=max(1, round(capacity * QUEUED)),
        trials=tuple(trials),
    )
