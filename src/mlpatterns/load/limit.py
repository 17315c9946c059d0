"""`find_limit`: finds the highest rate that a server can sustain, and recommends settings for it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from mlpatterns.load.attack import attack
from mlpatterns.load.durations import duration
from mlpatterns.load.report import LoadStep, Report
from mlpatterns.load.target import Target
from mlpatterns.user_errors import UserError

__all__ = ["ServerLimits", "Trial", "find_limit"]

LIGHT, LIGHT_SECONDS = 10.0, 1.0  # a rate that any server should sustain, to measure the latency without queueing
KEPT = 0.97  # the least share of the rate that must get good answers in time
SUCCESS = 0.99  # the least share of good answers
NEAR = 0.9  # a failed trial that reached this share of the rate is repeated once: the cause may be a hiccup
CLOSE = 1.1  # the search ends if the lowest rate that failed / the highest that held is at most this
BELOW, ABOVE = 0.95, 1.04  # factors of the throughput under overload: where the search looks for the limit first
MOST_TRIALS, MOST_RATE = 24, 100_000
QUEUED = 1.0  # the longest wait in the recommended queue, in seconds

Attack = Callable[..., Any]


class Trial(Struct, frozen=True):
    """The results at one rate. `why` is the reason why the rate failed; it is empty if the rate held."""

    step: LoadStep
    why: str


class ServerLimits(Struct, frozen=True):
    """The limits of a server.

    Attributes:
        rate: the highest rate that held, in requests per second.
        broken: the lowest rate that failed; None if none failed.
        why: why that rate failed.
        capacity: good answers per second under overload; if no rate failed, `rate`.
        alone: the median latency under light load, in seconds.
        concurrency: requests inside the server at its capacity, by Little's law: capacity times `alone`.
        max_queue: the number of waiting requests at which none waits longer than a second.
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
) -> ServerLimits:
    """Finds the limit of a server: doubles the rate until the server cannot sustain it, then narrows the range.

    A rate holds if good answers arrive at 97 % of the rate or more, if at least 99 % of the answers are good, and, if
    `p99` is given, if 99 % of them take no longer. The last answers may take as long as an answer under light load.

    Args:
        targets: as for `attack`.
        seconds: the duration of the load at each rate.
        p99: the longest time for 99 % of the answers, in seconds.
        told: called after each trial.
        options: of `attack`, except rate and seconds.
        attack: the function that sends the load.

    Raises:
        UserError: the server does not answer even 10 requests per second well enough.
    """
    light: Report = await attack(targets, rate=LIGHT, seconds=LIGHT_SECONDS, **options)
    alone = light.latencies.p50
    if light.success < SUCCESS or (p99 is not None and alone > p99):
        said = ", ".join(light.errors) or f"an answer takes {duration(alone)}"
        raise UserError(f"the server cannot sustain {LIGHT:g} requests a second: {said}")
    search = _Search(LIGHT, max(2 * LIGHT, min(1.0 / max(alone, 1e-4), MOST_RATE)))
    trials: list[Trial] = []
    while search.next is not None and len(trials) < MOST_TRIALS:
        rate = search.next
        trial = await _try_rate(attack, targets, rate, seconds, alone, p99, options)
        trials.append(trial)
        if told is not None:
            told(trial)
        search.learn(trial)
    return _limits(search, trials, alone)


async def _try_rate(
    attack: Attack, targets: Any, rate: float, seconds: float, alone: float, p99: float | None, options: Any
) -> Trial:
    """Tries a rate, and tries it again if it only just failed, because the cause may be a hiccup of the machine."""
    for last in (False, True):
        report: Report = await attack(targets, rate=rate, seconds=seconds, **options)
        step = report.steps[0]
        why = _why(step, alone, p99)
        if not why or last or step.throughput < NEAR * rate:
            break
    return Trial(step, why)


def _why(step: LoadStep, alone: float, p99: float | None) -> str:
    """Why the rate failed; empty if it held."""
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
    """Chooses the next rate to try.

    Attributes:
        low, high: the highest rate that held and the lowest that failed.
        next: the rate to try; None at the end of the search.
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
        if self.low >= near[0]:  # the highest held rate is near the capacity: try a little more
            near = [max(near[1], self.low * CLOSE * 0.99)]
        return next((guess for guess in near if self.low < guess < self.high), math.sqrt(self.low * self.high))


def _limits(search: _Search, trials: Sequence[Trial], alone: float) -> ServerLimits:
    capacity = max(search.capacity, search.low) if search.capacity else search.low
    return ServerLimits(
        rate=search.low,
        broken=None if math.isinf(search.high) else search.high,
        why=search.why,
        capacity=capacity,
        alone=alone,
        concurrency=max(1, round(capacity * alone)),
        max_queue=max(1, round(capacity * QUEUED)),
        trials=tuple(trials),
    )
