"""Experiment: its unit is the user, it reads the log, and it concludes nothing from what is not whole."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import CALLER
from mlpatterns import Experiment, Metric, PredictionLog, Split
from mlpatterns.analysis.experiment import ArmResult, MetricResult, Verdict
from mlpatterns.context import Note
from mlpatterns.pieces.experiment.experiment import ExperimentState
from mlpatterns.pieces.experiment.gaps import Gaps
from mlpatterns.pieces.experiment.page import page
from mlpatterns.pieces.experiment.units import Population
from mlpatterns.pieces.split.weights import SplitWeights
from mlpatterns.predictor import Predictor
from mlpatterns.runtime import AppRuntime, running
from mlpatterns.settings import Settings
from mlpatterns.stores.log import Feedback, LogStore, Record
from mlpatterns.testing import CountingModel, FakeClock, client, request
from mlpatterns.user_errors import CompositionError, SettingsError

PATH, DAY = "experiment/inner", 86_400.0


def record(
    number: int, unit: str | None, arm: str, at: float, revision: int = 0, source: str = "", count: int = 0, **more: Any
) -> Record:
    value = {"arm": arm, "unit": unit, "sticky": unit is not None, "revision": revision, "source": source,
             "number": count}  # fmt: skip
    return Record(f"p{number}", at, "x", "done", 0.1, notes=(Note(PATH, "exposure", value),), **more)


def told(number: int, value: Any, at: float, name: str = "converted") -> Feedback:
    return Feedback(f"p{number}", name, value, at)


def people(records: Sequence[Record], feedback: Sequence[Feedback] = ()) -> Population:
    found = Population(PATH, ("a", "b"))
    found.expose(records)
    found.add_feedback(feedback)
    return found


def values(found: Population, metric: Metric, now: float = 10 * DAY) -> dict[str, list[float]]:
    return {arm: each.values.tolist() for arm, each in found.outcomes(metric, now).arms.items()}


# ---- units ----


def test_a_user_has_one_value_whatever_he_asks() -> None:
    found = people([record(n, "u", "a", n) for n in range(10)], [told(2, True, 5.0), told(7, True, 9.0)])
    assert values(found, Metric("converted")) == {"a": [1.0], "b": []}
    assert values(found, Metric("converted", per_user="sum")) == {"a": [2.0], "b": []}
    assert (found.exposures, len(found.units)) == (10, 1)


def test_who_met_two_arms_is_left_out_of_the_metrics_and_counted_once_in_the_sample() -> None:
    found = people([record(1, "u", "a", 1.0), record(2, "u", "b", 2.0, revision=1), record(3, "v", "b", 3.0)],
                   [told(1, 1, 2.0), told(3, 1, 4.0)])  # fmt: skip
    assert values(found, Metric("converted")) == {"a": [], "b": [1.0]}
    assert found.moved == 1
    counts = {0: {"a": 6, "b": 4}, 1: {"a": 5, "b": 5}}
    assert {revision: dict(period.users) for revision, period in found.periods(counts).items()} == {0: {"a": 1, "b": 1}}


def test_a_request_that_ended_later_but_came_first_is_the_first() -> None:
    found = people([record(2, "u", "b", 9.0, revision=1), record(1, "u", "a", 1.0)])
    unit = found.units["u"]
    assert (unit.arm, unit.since, unit.revision, unit.moved) == ("a", 1.0, 0, True)


def test_requests_of_nobody_and_what_is_no_exposure_are_left_out() -> None:
    broken = Record("q", 1.0, "x", "done", 0.1, notes=(Note(PATH, "exposure", "text"), Note("other", "exposure", {})))
    unknown = record(5, "w", "gone", 1.0)
    found = people([record(1, None, "a", 1.0), broken, unknown, record(1, None, "a", 1.0)])
    assert (found.units, found.not_sticky, found.exposures) == ({}, 1, 1)


def test_a_prediction_that_two_logs_have_counts_once() -> None:
    twice = record(1, "u", "a", 1.0)
    assert people([twice, twice]).exposures == 1


def test_only_what_was_told_within_the_window_counts_and_only_when_the_window_is_over() -> None:
    found = people([record(1, "u", "a", 0.0), record(2, "v", "a", 0.0)], [told(1, 1, 99.0), told(2, 1, 101.0)])
    metric = Metric("converted", window=100.0)
    assert values(found, metric, now=99.0) == {"a": [], "b": []}
    assert values(found, metric, now=100.0) == {"a": [1.0, 0.0], "b": []}
    assert values(found, Metric("converted", window=100.0, partial=True), now=99.0) == {"a": [1.0, 0.0], "b": []}


def test_a_user_of_whom_nothing_was_told_is_zero_or_left_out_and_missing_either_way() -> None:
    found = people([record(1, "u", "a", 0.0), record(2, "v", "a", 0.0)], [told(1, 0.5, 1.0)])
    assert values(found, Metric("converted", per_user="mean")) == {"a": [0.5, 0.0], "b": []}
    left = found.outcomes(Metric("converted", per_user="mean", missing="left_out"), 10 * DAY)
    assert left.arms["a"].values.tolist() == [0.5]
    assert left.arms["a"].missing.tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    ("per_user", "value"), [("sum", 6.0), ("mean", 2.0), ("max", 3.0), ("min", 1.0), ("last", 2.0), ("any", 1.0)]
)
def test_one_value_is_made_of_all_that_was_told(per_user: Any, value: float) -> None:
    found = people([record(n, "u", "a", 0.0) for n in range(3)], [told(0, 1, 1.0), told(1, 3, 2.0), told(2, 2, 3.0)])
    assert values(found, Metric("converted", per_user=per_user))["a"] == [value]


def test_a_ratio_has_the_requests_or_another_feedback_below_the_line() -> None:
    found = people([record(n, "u", "a", n) for n in range(4)], [told(0, 1, 1.0), told(1, 8, 2.0, "seen")])
    by_requests = found.outcomes(Metric("converted", per_user="sum", per="requests"), 10 * DAY).arms["a"]
    by_seen = found.outcomes(Metric("converted", per_user="sum", per="seen"), 10 * DAY).arms["a"]
    assert by_requests.denominators is not None
    assert by_seen.denominators is not None
    assert (by_requests.values.tolist(), by_requests.denominators.tolist()) == ([1.0], [4.0])
    assert by_seen.denominators.tolist() == [8.0]


def test_texts_are_no_outcomes_and_others_predictions_are_nobodys() -> None:
    found = people([record(1, "u", "a", 0.0)], [told(1, "yes", 1.0), told(9, 1, 1.0)])
    assert values(found, Metric("converted")) == {"a": [0.0], "b": []}


def test_numbers_that_others_have_overtaken_are_lost_after_a_minute() -> None:
    gaps = Gaps(("a", "b"))
    for number in (1, 2, 5, 9):
        gaps.see("s", "a", number, float(number))
    gaps.see("s", "b", 4, 3.0)  # the log begins later than the process
    gaps.see("t", "b", 1, 4.0)
    gaps.settle(9.0 + 59)
    assert gaps.lost() == {"a": 2, "b": 0}  # the last gap may still be filled
    gaps.see("s", "a", 7, 50.0)
    gaps.settle(1000.0)
    assert gaps.lost() == {"a": 2 + 1 + 1, "b": 0}
    assert gaps.lost(since=6.0) == {"a": 2, "b": 0}
    gaps.settle(2000.0)
    assert gaps.lost() == {"a": 4, "b": 0}


@given(st.permutations(range(1, 30)), st.sets(st.integers(2, 28)), st.integers(1, 10))
@settings(max_examples=50, deadline=None)
def test_in_whatever_order_they_come_what_is_missing_is_lost(order: list[int], gone: set[int], page: int) -> None:
    gaps = Gaps(("a",))
    for index, number in enumerate(order):
        if number not in gone:
            gaps.see("s", "a", number, 0.0)
        if index % page == 0:
            gaps.settle(30.0)
    gaps.settle(100.0)
    assert gaps.lost() == {"a": len(gone)}


def test_predictions_are_forgotten_when_nothing_more_can_count_and_users_are_not() -> None:
    found = Population(PATH, ("a", "b"), horizon=100.0)
    found.expose([record(n, "u", "a", 50.0 * n) for n in range(5)])
    assert found.units["u"].requests == [0.0, 50.0, 100.0]
    found.forget(3600.0 + 100.0 + 101.0)
    found.add_feedback([told(0, 1, 1.0), told(3, 1, 2.0)])
    assert values(found, Metric("converted", window=100.0)) == {"a": [1.0], "b": []}
    assert len(found._of) == 2


@pytest.mark.parametrize(
    "wrong", [{"name": ""}, {"per_user": "median"}, {"window": -1.0}, {"missing": "?"}, {"better": "?"}]
)
def test_a_metric_that_cannot_be_measured_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(CompositionError):
        Metric(**{"name": "converted"} | wrong)


def test_what_is_told_anew_replaces_and_what_comes_before_its_record_waits_for_it() -> None:
    metric = Metric("converted", per_user="sum")
    found = people([record(1, "u", "a", 0.0)], [told(1, 1, 1.0), told(2, 1, 1.0)])
    found.add_feedback([told(1, 5, 2.0)])
    assert values(found, metric)["a"] == [5.0]
    found.expose([record(1, "u", "a", 0.0), record(2, "v", "a", 0.0)])
    found.add_feedback([])
    assert values(found, metric)["a"] == [5.0, 1.0]
    assert found.exposures == 2


# ---- the piece ----


def experiment(*metrics: Metric, **options: Any) -> Experiment:
    split = Split({"a": CountingModel("a"), "b": CountingModel("b")}, sticky_by="user-id")
    return Experiment(split, *(metrics or (Metric("converted", window=10.0),)), name="experiment", **options)


def run(root: Predictor, work: Callable[[AppRuntime], Awaitable[None]], clock: FakeClock | None = None) -> None:
    async def main() -> None:
        stores = Settings(control="memory://", log="memory://?max_records=100000")
        async with running(root, settings=stores, clock=clock) as runtime:
            await work(runtime)

    asyncio.run(main())


async def fill(runtime: AppRuntime, rates: dict[str, float], users: int, share: float = 0.5, gap: int = 0) -> None:
    """Users of both arms as a log has them, at the clock's time."""
    store = await runtime.store(LogStore, runtime.settings.log_url)  # type: ignore[type-abstract]
    chance, now, records, feedback, counts = random.Random(1), runtime.clock.time(), [], [], {"a": 0, "b": 0}
    for n in range(users):
        arm = "a" if chance.random() < share else "b"
        counts[arm] += 1 + (gap if n == users // 2 else 0)
        records.append(record(n, f"u{n}", arm, now, source="s", count=counts[arm]))
        feedback.append(told(n, chance.random() < rates[arm], now + 1))
    await store.write(records)
    await store.add_feedback(feedback)


async def state(root: Experiment) -> ExperimentState:
    found: ExperimentState = await root.operations[0].handler(None, CALLER)
    return found


@pytest.mark.parametrize(
    ("rates", "share", "gap", "expected"),
    [
        ({"a": 0.2, "b": 0.5}, 0.5, 0, "decided"),
        ({"a": 0.2, "b": 0.2}, 0.5, 0, "running"),
        ({"a": 0.2, "b": 0.5}, 0.3, 0, "invalid"),
        ({"a": 0.2, "b": 0.5}, 0.5, 3, "frozen"),
    ],
)
def test_what_the_log_says_is_the_verdict(rates: dict[str, float], share: float, gap: int, expected: str) -> None:
    root, clock = experiment(), FakeClock()

    async def work(runtime: AppRuntime) -> None:
        await fill(runtime, rates, 3000, share, gap)
        await clock.advance(120.0)
        found = await state(root)
        assert found.verdict.state == expected
        assert (found.control, sum(found.users.values()), found.exposures) == ("a", 3000, 3000)
        assert sum(found.lost.values()) == gap
        (sample,) = found.samples
        assert (sample.revision, sample.users, sample.expected) == (0, found.users, {"a": 1500.0, "b": 1500.0})
        assert found.verdict.warnings == []
        assert found.first == found.last == clock.time() - 120.0

    run(root, work, clock)


def test_a_change_of_the_weights_is_no_mismatch_and_no_difference_of_the_arms() -> None:
    """Of the later users, most of whom meet b, nobody converts: all together b would look much worse."""
    root, clock = experiment(), FakeClock()

    async def work(runtime: AppRuntime) -> None:
        await fill(runtime, {"a": 0.2, "b": 0.2}, 1000)
        await root.split.operations[1].handler(SplitWeights({"a": 1, "b": 9}), CALLER)
        store = await runtime.store(LogStore, runtime.settings.log_url)  # type: ignore[type-abstract]
        later = [record(5000 + n, f"v{n}", "a" if n % 10 == 0 else "b", clock.time(), revision=1) for n in range(1000)]
        await store.write(later)
        await clock.advance(20.0)
        found = await state(root)
        assert (found.verdict.state, found.verdict.srm_p) == ("running", 1.0)
        assert [sample.expected for sample in found.samples] == [{"a": 500.0, "b": 500.0}, {"a": 100.0, "b": 900.0}]
        first = found.verdict.metrics[0].arms["b"]
        assert first.effect is not None
        assert abs(first.effect) < 0.03
        assert first.value < found.verdict.metrics[0].arms["a"].value - 0.05

    run(root, work, clock)


def test_the_result_is_read_anew_after_a_moment_and_once_for_all_who_ask_together() -> None:
    root, clock = experiment(), FakeClock()

    async def work(runtime: AppRuntime) -> None:
        first, again = await asyncio.gather(state(root), state(root))
        assert first is again
        await fill(runtime, {"a": 0.2, "b": 0.2}, 10)
        assert await state(root) is first
        await clock.advance(3.0)
        assert (await state(root)).exposures == 10

    run(root, work, clock)


def test_what_a_log_drops_is_noticed_by_its_numbers_and_freezes_the_verdict() -> None:
    inner, clock = experiment(Metric("converted", partial=True)), FakeClock()
    root = PredictionLog(inner, max_records=5)

    async def work(runtime: AppRuntime) -> None:
        for burst in (20, 5, 5, 5):  # more than the queue takes, then what it takes
            for user in range(burst):
                await root.predict(request([[1.0]], headers={"user-id": str(user)}))
            assert root._queue is not None
            await root._queue.flush(5.0)
        await clock.advance(120.0)
        found = await state(inner)
        assert found.exposures == 20
        assert 10 <= sum(found.lost.values()) <= 15  # all but what came after the last of its arm that was kept
        assert found.verdict.state == "frozen"
        assert "were lost within the last hour" in found.verdict.says
        await clock.advance(4000.0)
        assert (await state(inner)).verdict.state == "running"

    run(root, work, clock)


def test_from_request_and_feedback_to_the_page() -> None:
    root = experiment(Metric("converted", partial=True))
    stores = Settings(control="memory://", log="memory://")

    async def main() -> None:
        async with client(PredictionLog(root), settings=stores) as http:
            for user in ("ann", "ben"):
                answer = await http.post("/predict", json={"data": [[1.0]]}, headers={"user-id": user})
                fact = {"prediction_id": answer.headers["x-mlp-prediction-id"], "name": "converted", "value": True}
                assert (await http.post("/feedback", json=fact)).json() == {"taken": 1}
            found = (await http.get("/experiment")).json()
            assert sum(found["users"].values()) == 2
            assert sum(arm["events"] for arm in found["verdict"]["metrics"][0]["arms"].values()) == 2
            shown = await http.get("/experiment/results")
            assert shown.headers["content-type"].startswith("text/html")
            assert "too few users or events yet" in shown.text
            assert "<script" not in shown.text

    asyncio.run(main())


def test_the_page_draws_the_intervals_and_escapes_names() -> None:
    other = ArmResult(100, 30, 0.3, 0.0, 0.1, 0.02, 0.18, 0.01, 1.0, 0.1, True, "better")
    arms = {"a": ArmResult(100, 20, 0.2, 0.0), "<b>": other}
    text = page("x", "a", Verdict("decided", "it is", 1.0, [MetricResult("m", "higher", arms)], ["<i>"]), [])
    assert "<svg" in text
    assert 'aria-label="&lt;b&gt; from 0.02 to 0.18"' in text
    assert "<b>" not in text
    assert "<i>" not in text


def test_it_needs_one_split_that_is_sticky_and_a_log_that_can_be_read() -> None:
    model = CountingModel()
    for wrong in (model, Split({"a": model})):
        with pytest.raises(CompositionError, match=r"one Split|sticky_by"):
            Experiment(wrong, Metric("converted"))
    for options in ({"alpha": 0.0}, {"alpha": 0.5}, {"tuning": 0}):
        with pytest.raises(CompositionError):
            experiment(**options)
    with pytest.raises(CompositionError):
        Experiment(Split({"a": model}, sticky_by="user-id"))

    async def work(_: AppRuntime) -> None:
        raise AssertionError("it must not run")

    with pytest.raises(SettingsError, match="no LogStore"):
        run(experiment(log="stdout://"), work)
