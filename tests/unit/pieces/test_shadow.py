"""Shadow: callers notice nothing of the candidate, all that was sampled is accounted for, the report is of the log."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from mlpatterns import Health, InferenceRequest, InferenceResponse, PredictionLog, Shadow, Split
from mlpatterns.context import Context, Note
from mlpatterns.errors import Unavailable, Unsupported
from mlpatterns.metrics import ProcessMetrics
from mlpatterns.pieces.prediction_log import queue as log_queue
from mlpatterns.pieces.shadow.report import ShadowQuery, ShadowReport, report
from mlpatterns.predictor import Caller, Predictor, Runtime
from mlpatterns.runtime import AppRuntime, running
from mlpatterns.settings import Settings
from mlpatterns.stores.log import LogQuery, LogStore, Record
from mlpatterns.testing import CountingModel, FakeClock, FlakyModel, SlowModel, client, request
from mlpatterns.user_errors import CompositionError

Work = Callable[[AppRuntime], Awaitable[None]]


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_queue, "GATHER", 0.0)


def run(root: Predictor, work: Work, metrics: ProcessMetrics | None = None, clock: FakeClock | None = None) -> None:
    async def main() -> None:
        settings = Settings(control="memory://", log="memory://")
        async with running(root, settings=settings, metrics=metrics, clock=clock) as runtime:
            await turns()
            await work(runtime)

    asyncio.run(main())


async def turns(count: int = 30) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def shadows(runtime: AppRuntime, **asked: Any) -> list[Record]:
    store = await runtime.store(LogStore, "memory://")  # type: ignore[type-abstract]
    for _ in range(200):
        found = (await store.read(LogQuery(role="shadow", **asked))).records
        if found:
            break
        await asyncio.sleep(0.005)
    return list((await store.read(LogQuery(role="shadow", **asked))).records)


def asks(value: float = 1.0, **fields: Any) -> InferenceRequest:
    made = request([[value]])
    for name, given in fields.items():
        setattr(made.context, name, given)
    return made


class Plus(CountingModel):
    """Answers with a little more than the sum."""

    def __init__(self, more: float = 1.0) -> None:
        super().__init__("plus", version="2", digest="plus")
        self.more = more

    def answer(self, request: InferenceRequest) -> InferenceResponse:
        answer = super().answer(request)
        return replace(answer, outputs={"probabilities": answer.outputs["probabilities"] + np.float32(self.more)})


async def told(shadow: Shadow, principal: str | None = None, **asked: Any) -> ShadowReport:
    handler = next(each for each in shadow.operations if each.name == "shadow").handler
    found: ShadowReport = await handler(ShadowQuery(**asked), Caller(principal, {}, 1e9))
    return found


def figures(shadow: Shadow) -> tuple[int, int, int, int, int]:
    assert shadow._mirror is not None
    counts = shadow._mirror.counts
    assert counts.sampled == counts.compared + counts.failed + counts.dropped + counts.waiting
    return counts.sampled, counts.compared, counts.failed, counts.dropped, counts.waiting


def test_the_caller_gets_the_primarys_answer_and_the_candidate_is_asked_the_same_and_not_by_whom() -> None:
    candidate = Plus()
    shadow = Shadow(CountingModel(), candidate)

    async def work(runtime: AppRuntime) -> None:
        asked = asks(2.0, caller_id="000000", principal="ann", headers={"user-id": "u"})
        answer = await shadow.predict(asked)
        assert answer.outputs["probabilities"].tolist() == [[2.0]]
        assert candidate.calls == 0  # nobody waited for it
        (record,) = await shadows(runtime)
        (seen,) = candidate.requests
        assert seen.inputs is asked.inputs
        assert (seen.context.prediction_id, seen.context.caller_id) == (asked.context.prediction_id, "000000")
        assert (seen.context.principal, dict(seen.context.headers)) == (None, {})
        assert (record.prediction_id, record.caller_id, record.principal) == (
            asked.context.prediction_id, "000000", "ann")  # fmt: skip
        assert (record.role, record.status, record.model, record.version) == ("shadow", "done", "plus", "2")
        assert (record.inputs, record.outputs) == ({}, {"probabilities": [[3.0]]})
        assert [(note.key, note.value) for note in asked.context.notes] == [("shadow", "mirrored")]
        assert figures(shadow) == (1, 1, 0, 0, 0)

    run(shadow, work)


def test_both_records_have_the_callers_id_and_one_prediction_id() -> None:
    shadow = Shadow(CountingModel(), Plus())
    root = PredictionLog(shadow)

    async def work(runtime: AppRuntime) -> None:
        await root.predict(asks(caller_id="000000"))
        await shadows(runtime)
        store = await runtime.store(LogStore, "memory://")  # type: ignore[type-abstract]
        found = (await store.read(LogQuery())).records
        assert sorted((record.role, record.caller_id, record.path) for record in found) == [
            ("primary", "000000", "counting"), ("shadow", "000000", "counting/inner"),
        ]  # fmt: skip
        assert len({record.prediction_id for record in found}) == 1

    run(root, work)


@pytest.mark.parametrize(
    ("candidate", "code", "sentence"),
    [
        (FlakyModel(error=Unavailable("it is down")), "UNAVAILABLE", "it is down"),
        (FlakyModel(error=ValueError("a secret")), "INTERNAL", "the candidate raised ValueError"),
        (FlakyModel(error=SystemExit()), "INTERNAL", "the candidate raised RuntimeError"),  # type: ignore[arg-type]
    ],
)
def test_a_candidate_that_fails_is_recorded_and_costs_nobody_anything(
    candidate: FlakyModel, code: str, sentence: str
) -> None:
    shadow = Shadow(CountingModel(), candidate)

    async def work(runtime: AppRuntime) -> None:
        for _ in range(3):
            await shadow.predict(asks())
            await turns()
        record, *_ = await shadows(runtime)
        assert (record.status, record.code, record.error) == ("failed", code, sentence)
        assert figures(shadow) == (3, 0, 3, 0, 0)
        found = await told(shadow)
        assert (found.failed, found.errors, found.agreement, found.seconds) == (3, {code: 3}, None, None)

    run(shadow, work)


def test_a_slow_candidate_is_bounded_and_what_does_not_fit_is_dropped_and_counted() -> None:
    clock = FakeClock()
    candidate = SlowModel(seconds=5.0)
    shadow = Shadow(CountingModel(), candidate, max_waiting=3, max_concurrency=2)

    async def work(_: AppRuntime) -> None:
        for _turn in range(10):
            await shadow.predict(asks())
        await turns()
        assert candidate.running == 2
        assert figures(shadow) == (10, 0, 0, 7, 3)
        await clock.advance(5.0)
        assert figures(shadow) == (10, 2, 0, 7, 1)
        await clock.advance(5.0)
        assert figures(shadow) == (10, 3, 0, 7, 0)
        assert candidate.most_running == 2

    run(shadow, work, clock=clock)


def test_large_requests_are_bounded_by_their_bytes() -> None:
    shadow = Shadow(CountingModel(), SlowModel(seconds=60.0), max_bytes=100)

    async def work(_: AppRuntime) -> None:
        for columns in (20, 20, 1):
            await shadow.predict(request([[1.0] * columns]))
        assert figures(shadow) == (3, 0, 0, 1, 2)

    run(shadow, work)


def test_a_candidate_that_takes_too_long_has_failed() -> None:
    shadow = Shadow(CountingModel(), SlowModel(seconds=60.0), timeout=0.02)

    async def work(runtime: AppRuntime) -> None:
        await shadow.predict(asks())
        (record,) = await shadows(runtime)
        assert (record.status, record.code) == ("failed", "DEADLINE")

    run(shadow, work)


class Absent(CountingModel):
    """It cannot start, until it can."""

    there = False

    async def start(self, runtime: Runtime) -> None:
        if not self.there:
            raise Unavailable("nobody is there")
        await super().start(runtime)


def test_a_candidate_that_cannot_start_keeps_nobody_from_starting_and_is_asked_when_it_can() -> None:
    candidate, clock = Absent(), FakeClock()
    shadow = Shadow(CountingModel(), candidate)

    async def work(runtime: AppRuntime) -> None:
        assert shadow.health() == Health()
        assert "start the candidate" in runtime.trouble()[0]
        await shadow.predict(asks())
        assert figures(shadow) == (1, 0, 0, 1, 0)
        candidate.there = True
        await clock.advance(1.0)
        await shadow.predict(asks())
        await turns()
        assert figures(shadow) == (2, 1, 0, 1, 0)

    run(shadow, work, clock=clock)
    assert candidate.stops == candidate.starts + 1  # who failed to start is stopped too


def test_one_that_starts_for_ever_keeps_nobody_from_stopping() -> None:
    class Endless(CountingModel):
        async def start(self, runtime: Runtime) -> None:
            await asyncio.Event().wait()

    shadow = Shadow(CountingModel(), Endless())

    async def work(_: AppRuntime) -> None:
        assert (await shadow.predict(asks())).model_name == "counting"

    run(shadow, work)


def test_what_waits_when_it_stops_is_dropped_and_counted() -> None:
    shadow, metrics = Shadow(CountingModel(), SlowModel(seconds=60.0)), ProcessMetrics()

    async def work(_: AppRuntime) -> None:
        for _turn in range(3):
            await shadow.predict(asks())
        await turns()

    run(shadow, work, metrics)
    values = {(s.family.name, dict(s.labels).get("end")): s.values[0] for s in metrics.samples()}
    assert values["mlpatterns_shadow_sampled_total", None] == 3
    assert values["mlpatterns_shadow_requests_total", "dropped"] == 3


@pytest.mark.parametrize("purpose", ["probe", "replay", "test"])
def test_only_requests_are_mirrored_and_tests_where_they_are_to_be(purpose: Any) -> None:
    shadow, testing = Shadow(CountingModel(), Plus()), Shadow(CountingModel(), Plus(), tests=True)

    async def work(_: AppRuntime) -> None:
        await shadow.predict(asks(purpose=purpose))
        assert figures(shadow)[0] == 0

    async def with_tests(runtime: AppRuntime) -> None:
        await testing.predict(asks(purpose=purpose, caller_id="7"))
        assert figures(testing)[0] == (purpose == "test")
        if purpose == "test":
            assert [record.purpose for record in await shadows(runtime)] == ["test"]
            assert (await told(testing)).compared == 0
            assert (await told(testing, caller_id="7")).compared == 1

    run(shadow, work)
    run(testing, with_tests)


@pytest.mark.parametrize(("sample", "least", "most"), [(0.0, 0, 0), (0.5, 60, 140), (1.0, 200, 200)])
def test_a_share_is_sampled(sample: float, least: int, most: int) -> None:
    shadow = Shadow(CountingModel(), Plus(), sample=sample, max_waiting=1000)

    async def work(_: AppRuntime) -> None:
        for number in range(200):
            await shadow.predict(asks(prediction_id=f"id-{number}"))
        assert least <= figures(shadow)[0] <= most

    run(shadow, work)


def test_an_error_of_the_primary_is_the_callers_and_nothing_is_mirrored() -> None:
    shadow = Shadow(FlakyModel(), Plus())

    async def work(_: AppRuntime) -> None:
        with pytest.raises(Unavailable):
            await shadow.predict(asks())
        assert figures(shadow)[0] == 0

    run(shadow, work)


class Other(CountingModel):
    """Answers with outputs of its own."""

    def __init__(self, outputs: dict[str, Any], status: Any = "done") -> None:
        super().__init__()
        self.outputs, self.status = outputs, status

    def answer(self, request: InferenceRequest) -> InferenceResponse:
        return InferenceResponse(self.outputs, "other", "1", status=self.status)


@pytest.mark.parametrize(
    ("candidate", "sentence"),
    [
        (Other({"else": np.zeros((1, 1))}), "the candidate gave no output 'probabilities'"),
        (Other({"probabilities": np.zeros((1, 2))}), "cannot be compared: one answer has the shape [1, 1]"),
        (Other({"job_id": np.zeros(1)}, "accepted"), "the candidate answers later"),
    ],
)
def test_an_answer_that_cannot_be_compared_has_failed(candidate: Predictor, sentence: str) -> None:
    shadow = Shadow(CountingModel(), candidate)

    async def work(runtime: AppRuntime) -> None:
        await shadow.predict(asks())
        (record,) = await shadows(runtime)
        assert sentence in record.error
        assert figures(shadow) == (1, 0, 1, 0, 0)

    run(shadow, work)


def test_the_report_shows_examples_of_the_principal_who_asks_alone() -> None:
    shadow = Shadow(CountingModel(), Plus(0.5))

    async def work(runtime: AppRuntime) -> None:
        for principal in ("ann", "ben", "ann"):
            await shadow.predict(asks(principal=principal, caller_id=f"of {principal}"))
            await turns()
        while len(await shadows(runtime)) < 3:
            await asyncio.sleep(0.005)
        found = await told(shadow, "ann")
        assert (found.compared, found.differ, found.agreement, found.largest, found.complete) == (3, 3, 0.0, 0.5, True)
        assert found.seconds is not None
        assert set(found.seconds) == {"primary", "candidate"}
        assert [example.caller_id for example in found.examples] == ["of ann", "of ann"]
        assert (await told(shadow)).examples == []
        assert (await told(shadow, caller_id="of ben")).compared == 1

    run(shadow, work)


def test_what_somebody_else_wrote_into_the_log_is_left_out() -> None:
    for value in ("text", {"rows": "many"}, {"rows": 1}):
        record = Record("id", 0.0, "x", "done", 1.0, role="shadow", notes=(Note("x", "difference", value),))
        assert report([record], None).compared == 0


def test_over_http_the_page_shows_it_and_escapes_what_a_caller_gave() -> None:
    async def main() -> None:
        settings = Settings(control="memory://", log="memory://")
        async with client(Shadow(CountingModel(), Plus()), settings=settings) as http:
            name = "<script>alert(1)</script>"
            await http.post("/predict", json={"data": [[1.0]]}, headers={"x-request-id": name})
            for _ in range(200):
                if (await http.get("/shadow")).json()["compared"]:
                    break
                await asyncio.sleep(0.01)
            page = await http.get("/shadow/report", params={"caller_id": name})
            assert page.headers["content-type"].startswith("text/html")
            assert "<script" not in page.text
            assert "&lt;script&gt;" in page.text
            assert (await http.get("/shadow/figures")).json()["sampled"] == 1
            for wrong in (
                {"hours": "0"},
                {"hours": "x"},
                {"hours": "1e9"},
                {"caller_id": ""},
                {"caller_id": "x" * 2000},
            ):
                answer = await http.get("/shadow", params=wrong)
                assert (answer.status_code, set(answer.json())) == (400, {"error"})

    asyncio.run(main())


def test_a_log_that_is_only_written_to_has_no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    shadow = Shadow(CountingModel(), Plus())

    async def work(_: AppRuntime) -> None:
        monkeypatch.setattr(shadow._queries, "_store", None)
        with pytest.raises(Unsupported, match="cannot be read"):
            await told(shadow)

    run(shadow, work)


@pytest.mark.parametrize(
    "options", [{"sample": 1.5}, {"sample": -1}, {"timeout": 0}, {"max_waiting": 0}, {"max_concurrency": 0}]
)
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(CompositionError):
        Shadow(CountingModel(), Plus(), **options)


def test_a_candidate_that_depends_on_who_asks_is_refused_and_a_primary_may() -> None:
    split = Split({"a": CountingModel()}, sticky_by="user-id")
    with pytest.raises(CompositionError, match="its answer depends on the caller"):
        Shadow(CountingModel(), split)
    assert Shadow(split, CountingModel()).depends_on_caller
    assert not Shadow(CountingModel(), Plus()).depends_on_caller


def test_it_is_described_as_the_primary() -> None:
    primary = CountingModel()
    shadow = Shadow(primary, Plus())

    async def work(_: AppRuntime) -> None:
        assert shadow.metadata is primary.metadata
        assert shadow.describe(Context("id")) is primary.metadata
        assert shadow.identity() == primary.identity()

    run(shadow, work)
