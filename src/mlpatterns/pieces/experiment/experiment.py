"""Experiment: finds which arm of a split is better, with a test that is valid at any time."""

from __future__ import annotations

import asyncio
from functools import partial
from types import NoneType

from msgspec import Struct

from mlpatterns.analysis.experiment import Verdict, verdict_of
from mlpatterns.analysis.sequential import ALPHA, TUNING
from mlpatterns.analysis.srm import Period
from mlpatterns.base import Wrapper
from mlpatterns.errors import Unavailable
from mlpatterns.pieces import piece
from mlpatterns.pieces.experiment.page import page
from mlpatterns.pieces.experiment.units import Metric, Population
from mlpatterns.pieces.split.split import Split
from mlpatterns.predictor import Caller, Operation, Predictor, Runtime
from mlpatterns.stores.log import LogQuery, LogStore
from mlpatterns.user_errors import CompositionError

__all__ = ["Experiment", "ExperimentState"]

PAGE = 2_000  # records read at once
FRESH = 2.0  # seconds for which a result is reused
RECENT = 3600.0  # seconds: exposures that were lost in this time freeze the verdict


class SampleRatio(Struct, frozen=True):
    """For one revision of the weights: the users by their first arm, and the expected numbers of users.

    If there is a mismatch, the revision shows when it began.
    """

    revision: int
    users: dict[str, int]
    expected: dict[str, float]


class ExperimentState(Struct, frozen=True):
    """The state of an experiment, from the log.

    Attributes:
        control: the arm that the others are compared with.
        users: the number of users by arm.
        samples: the users by revision of the weights.
        moved: the number of users who later met another arm; the metrics leave them out.
        not_sticky: the number of requests that identify no user; all results leave them out.
        lost: exposures by arm that never reached the log.
        first, last: times of the first and the last exposure, in seconds since 1970.
    """

    experiment: str
    control: str
    verdict: Verdict
    users: dict[str, int]
    samples: list[SampleRatio]
    moved: int
    not_sticky: int
    exposures: int
    lost: dict[str, int]
    first: float
    last: float


@piece(
    lambda inner, _: Experiment(Split({"inner": inner}, sticky_by="user-id"), Metric("converted"), log="memory://"),
    by_caller=True,
)
class Experiment(Wrapper):
    """Compares the arms of the Split in `predictor`, e.g. ``Experiment(PredictionLog(split), Metric("converted"))``.

    The unit is a user, identified by the sticky header of the split. Each user has one value, known once the window of
    the metric after the user's first request is over. Users who met two arms are left out, and so are requests without
    the header. The first arm is the control, and the first metric decides. Its interval is a confidence sequence: you
    may look at it, and stop the experiment, at any time. Only users of the same revision of the weights are compared
    with each other, so a change of the weights does not look like a difference of the arms. There is no verdict before
    each arm has 100 users and 10 events, while exposures are lost on the way to the log, or if the numbers of users do
    not match the weights.

    The query `experiment` and the page `experiment/results` read the log, so all replicas agree. The outcomes of users
    come from feedback on prediction ids (`/feedback` of the PredictionLog).

    Args:
        predictor: contains one sticky Split, with a PredictionLog around it.
        metrics: at least one.
        log: the URL of the log with the exposures and the feedback; by default the setting `log`.
        alpha: the probability that the experiment ever finds a difference where there is none, over all arms together.
        tuning: the number of users at which the confidence sequence is tightest.
        name: the name of this piece; by default that of `predictor`.

    Raises:
        CompositionError: `predictor` does not contain exactly one sticky Split, or an option is out of its range.
        SettingsError: at the start: the log cannot be read.
    """

    def __init__(
        self,
        predictor: Predictor,
        *metrics: Metric,
        log: str | None = None,
        alpha: float = ALPHA,
        tuning: float = TUNING,
        name: str | None = None,
    ) -> None:
        super().__init__(predictor, name)
        if not metrics or not 0 < alpha < 0.5 or not tuning > 0:
            raise CompositionError("an Experiment needs a Metric, an alpha between 0 and 0.5, and a tuning above 0")
        self.metrics, self.log, self.alpha, self.tuning = metrics, log, alpha, tuning
        self.split = _split_in(predictor)
        self.operations = (
            Operation("experiment", "query", "public", NoneType, ExperimentState, self._state),
            Operation("experiment/results", "page", "public", NoneType, str, self._page),
        )

    async def start(self, runtime: Runtime) -> None:
        self._clock, self._path, self._offload = runtime.clock, runtime.path, runtime.offload
        self._store = await runtime.store(LogStore, self.log or runtime.settings.log_url)  # type: ignore[type-abstract]
        self._lock = asyncio.Lock()
        self._people: Population | None = None
        self._place = self._told = 0  # positions in the log up to which records and feedback were read
        self._last: tuple[float, ExperimentState] | None = None

    # ---- operations ----

    async def _state(self, _: None, caller: Caller) -> ExperimentState:
        """The state of the experiment: users by arm, each metric with its confidence sequence, and the verdict.

        Raises:
            Unavailable: the log or the control store does not answer.
        """
        async with self._lock:  # callers who wait here get the same result
            if self._last is None or self._clock.monotonic() >= self._last[0] + FRESH:
                found = await self._found()
                self._last = self._clock.monotonic(), found
            return self._last[1]

    async def _page(self, _: None, caller: Caller) -> str:
        """The state of the experiment as a page: a table, and the intervals of each metric."""
        state = await self._state(None, caller)
        samples = [(one.revision, arm, one.users.get(arm, 0), expected)
                   for one in state.samples for arm, expected in one.expected.items()]  # fmt: skip
        return page(state.experiment, state.control, state.verdict, _facts(state), samples)

    async def _found(self) -> ExperimentState:
        split, now = self.split, self._clock.time()
        if split.path is None:
            raise Unavailable("the split has not started yet", retry_after=1)
        people = await self._read(split.path)
        people.gaps.settle(now)
        lost = people.gaps.lost(now - RECENT)
        frozen = f"{sum(lost.values())} exposures were lost within the last hour" if any(lost.values()) else ""
        periods = people.periods(await split.weights.buckets())
        verdict = await self._offload(
            lambda: verdict_of(
                [people.outcomes(metric, now) for metric in self.metrics],
                list(periods.values()),
                frozen=frozen,
                alpha=self.alpha,
                tuning=self.tuning,
            )
        )
        samples = [_sample(revision, period) for revision, period in sorted(periods.items())]
        users = dict.fromkeys(people.arms, 0)
        for unit in people.units.values():
            users[unit.arm] += 1
        return ExperimentState(
            self._path, people.arms[0], verdict, users, samples, people.moved, people.not_sticky, people.exposures,
            people.gaps.lost(), people.first, people.last,
        )  # fmt: skip

    async def _read(self, path: str) -> Population:
        """The users according to the current log. Reads only what is new; after a cancellation, the next call goes on
        from there."""
        horizon = max(metric.window for metric in self.metrics)
        people = self._people = self._people or Population(path, tuple(self.split.children), horizon)
        while True:
            found = await self._store.read(LogQuery(after=self._place, purpose="request", role="primary", limit=PAGE))
            await self._offload(partial(people.expose, found.records))
            if found.after == self._place:
                break
            self._place = found.after
        while True:
            page = await self._store.read_feedback(self._told, PAGE)
            await self._offload(partial(people.add_feedback, page.feedback))
            if page.after == self._told:
                people.forget(self._clock.time())
                return people
            self._told = page.after


def _sample(revision: int, period: Period) -> SampleRatio:
    total, shares = sum(period.users.values()), sum(period.shares.values())
    expected = {arm: round(total * share / shares, 1) for arm, share in period.shares.items()}
    return SampleRatio(revision, dict(period.users), expected)


def _split_in(predictor: Predictor) -> Split:
    """The nearest Split inside `predictor`."""
    level, splits = [predictor], list[Split]()
    while level and not splits:
        splits = [piece for piece in level if isinstance(piece, Split)]
        level = [child for piece in level for child in piece.children.values()]
    if len(splits) != 1:
        raise CompositionError(f"an Experiment goes around one Split: there are {len(splits)} in {predictor.name!r}")
    if splits[0].sticky_by is None:
        raise CompositionError(f"the unit of an Experiment is a user: give the Split {splits[0].name!r} a sticky_by=")
    return splits[0]


def _facts(state: ExperimentState) -> list[tuple[str, str | float]]:
    users: list[tuple[str, str | float]] = [(f"users of {arm}", count) for arm, count in state.users.items()]
    lost = sum(state.lost.values())
    return [*users, ("users who met two arms (left out)", state.moved), ("exposures", state.exposures),
            ("requests without a user (left out)", state.not_sticky), ("exposures not logged", lost)]  # fmt: skip
