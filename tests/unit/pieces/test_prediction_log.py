"""PredictionLog: every prediction once, no request slower or broken, and nothing kept that should not be."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import numpy as np
import pytest

from mlpatterns.base import Wrapper
from mlpatterns.errors import InvalidInput, NotStarted, PredictionError, Unavailable
from mlpatterns.metadata import ModelMetadata, TensorSpec
from mlpatterns.pieces.prediction_log import queue as log_queue
from mlpatterns.pieces.prediction_log.prediction_log import PredictionLog
from mlpatterns.pieces.prediction_log.records import shown
from mlpatterns.predictor import InferenceRequest, InferenceResponse, Predictor, Runtime
from mlpatterns.runtime import AppRuntime, running
from mlpatterns.settings import Settings
from mlpatterns.stores.log import LogQuery, LogStore, Record
from mlpatterns.testing import CountingModel, FakeClock, FlakyModel, SlowModel, request
from mlpatterns.user_errors import CompositionError, UserError


class Sink:
    """A sink of a test's own."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.groups: list[int] = []
        self.error: Exception | None = None

    async def write(self, records: Sequence[Record]) -> None:
        if self.error is not None:
            raise self.error
        self.groups.append(len(records))
        self.records += records

    async def close(self) -> None: ...


@pytest.fixture
def sink(monkeypatch: pytest.MonkeyPatch) -> Sink:
    sink = Sink()

    async def opened(runtime: Runtime, url: str) -> tuple[Sink, None]:
        return sink, None

    monkeypatch.setattr("mlpatterns.pieces.prediction_log.prediction_log._opened", opened)
    return sink


def run(root: Predictor, work: Callable[[AppRuntime], Awaitable[None]], clock: FakeClock | None = None) -> None:
    async def main() -> None:
        async with running(root, settings=Settings(control="memory://"), clock=clock) as app:
            await work(app)

    asyncio.run(main())


def asks(root: Predictor, *requests: InferenceRequest) -> None:
    async def work(_: AppRuntime) -> None:
        for each in requests:
            try:
                await root.predict(each)
            except PredictionError:
                continue

    run(root, work)


def dropped(app: AppRuntime, arm: str = "") -> float:
    counter = app.metrics.counter("mlpatterns_log_dropped_total", "", piece="counting", arm=arm)
    return counter.value


# ---- what is recorded ----


def test_a_record_says_who_asked_what_and_what_was_answered(sink: Sink) -> None:
    asked = request([[1.0, 2.0]], principal="ann")
    asked.context.caller_id = "mine"
    asked.context.at("split").note("arm", "b")
    asks(PredictionLog(CountingModel(version="7")), asked)
    (found,) = sink.records
    assert found.prediction_id == asked.context.prediction_id
    assert (found.path, found.status, found.model, found.version) == ("counting", "done", "counting", "7")
    assert found.identity == CountingModel().identity()
    assert (found.principal, found.caller_id, found.purpose, found.role) == ("ann", "mine", "request", "primary")
    assert (found.inputs, found.outputs) == ({"input": [[1.0, 2.0]]}, {"probabilities": [[3.0]]})
    assert found.notes == tuple(asked.context.notes)
    assert (found.code, found.error, found.degraded) == ("", "", False)


def test_time_is_when_it_began_and_how_long_it_took(sink: Sink) -> None:
    clock = FakeClock()
    root = PredictionLog(SlowModel(seconds=2.0))
    began = clock.time()

    async def work(_: AppRuntime) -> None:
        asking = asyncio.create_task(root.predict(request([[1.0]])))
        await clock.advance(2.0)
        await asking

    run(root, work, clock)
    assert (sink.records[0].at, sink.records[0].seconds) == (began, 2.0)


def test_a_failure_is_recorded_with_its_code_and_its_words_and_is_raised(sink: Sink) -> None:
    root = PredictionLog(FlakyModel(error=InvalidInput("the row is wrong")))

    async def work(_: AppRuntime) -> None:
        with pytest.raises(InvalidInput, match="the row is wrong"):
            await root.predict(request([[1.0]]))

    run(root, work)
    (found,) = sink.records
    assert (found.status, found.code, found.error) == ("failed", "INVALID", "the row is wrong")
    assert (found.inputs, found.outputs, found.model) == ({"input": [[1.0]]}, None, "")


def test_of_an_error_of_user_code_only_the_class_is_kept(sink: Sink) -> None:
    root = PredictionLog(FlakyModel(error=ValueError("a secret")))

    async def work(_: AppRuntime) -> None:
        with pytest.raises(ValueError, match="a secret"):
            await root.predict(request([[1.0]]))

    run(root, work)
    assert (sink.records[0].code, sink.records[0].error) == ("INTERNAL", "ValueError")


@pytest.mark.parametrize(
    ("seconds", "status", "code"), [(None, "cancelled", "CLIENT_LEFT"), (0.001, "failed", "DEADLINE")]
)
def test_a_cancellation_is_recorded_as_what_it_means(sink: Sink, seconds: float | None, status: str, code: str) -> None:
    model = SlowModel(seconds=60)
    root = PredictionLog(model)

    async def work(app: AppRuntime) -> None:
        deadline = None if seconds is None else app.clock.monotonic() + seconds
        asking = asyncio.create_task(root.predict(request([[1.0]], deadline=deadline)))
        while not model.running:
            await asyncio.sleep(0)
        await asyncio.sleep(0.002)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

    run(root, work)
    assert (sink.records[0].status, sink.records[0].code, sink.records[0].error) == (status, code, "")


def test_tests_are_recorded_as_such_and_probes_are_not(sink: Sink) -> None:
    asked = [request([[1.0]]) for _ in range(4)]
    for each, purpose in zip(asked, ("request", "test", "probe", "replay"), strict=True):
        each.context.purpose = purpose  # type: ignore[assignment]
    asks(PredictionLog(CountingModel()), *asked)
    assert [found.purpose for found in sink.records] == ["request", "test", "replay"]


def test_a_job_that_will_answer_is_accepted(sink: Sink) -> None:
    class Later(CountingModel):
        def answer(self, request: InferenceRequest) -> InferenceResponse:
            return InferenceResponse({"job_id": np.array([b"j1"], object)}, self.name, "1", status="accepted")

    asks(PredictionLog(Later()), request([[1.0]]))
    assert (sink.records[0].status, sink.records[0].outputs) == ("accepted", {"job_id": ["j1"]})


# ---- sampling ----


def test_a_share_is_kept_and_every_log_keeps_the_same() -> None:
    async def main() -> list[list[str]]:
        kept = []
        for share in (0.3, 0.3, 0.6):
            root = PredictionLog(CountingModel(), sink="memory://", sample=share)
            async with running(root, settings=Settings(control="memory://")) as app:
                for number in range(1000):
                    each = request([[1.0]])
                    each.context.prediction_id = f"id-{number}"
                    await root.predict(each)
                await root.stop()
                store: LogStore = await app.store(LogStore, "memory://")  # type: ignore[type-abstract]
                kept.append([found.prediction_id for found in (await store.read(LogQuery())).records])
        return kept

    first, second, more = asyncio.run(main())
    assert first == second
    assert 250 <= len(first) <= 350
    assert set(first) < set(more)


@pytest.mark.parametrize(("key", "value"), [("arm", "b"), ("exposure", {"arm": "b"})])
def test_what_is_not_sampled_is_kept_without_tensors_where_there_was_an_exposure(
    sink: Sink, key: str, value: Any
) -> None:
    exposed, other = request([[1.0]]), request([[2.0]])
    exposed.context.at("split").note(key, value)
    asks(PredictionLog(CountingModel(), sample=0), exposed, other)
    (found,) = sink.records
    assert found.prediction_id == exposed.context.prediction_id
    assert (found.inputs, found.outputs, found.notes[0].value) == (None, None, value)


# ---- tensors ----


class CombinedMetadata(Wrapper):
    """With other inputs and outputs than its model says."""

    def __init__(self, inner: Predictor, inputs: Sequence[TensorSpec]) -> None:
        super().__init__(inner)
        self.described = ModelMetadata(
            "counting", "1", "testing", tuple(inputs), (TensorSpec("probabilities", "FP32", (-1, 1)),), "probabilities"
        )

    @property
    def metadata(self) -> ModelMetadata:
        return self.described


def test_what_is_redacted_is_never_kept_by_tensor_or_by_column(sink: Sink) -> None:
    model = CountingModel(fields=("age", "height"))
    asks(PredictionLog(model, redact=("age", "probabilities")), request([[41.0, 1.8], [42.0, 1.7]]))
    (found,) = sink.records
    assert found.outputs == {"probabilities": None}
    assert found.inputs is not None
    assert [row[0] for row in found.inputs["input"]] == [None, None]
    assert [round(row[1], 1) for row in found.inputs["input"]] == [1.8, 1.7]


def test_a_redacted_column_of_a_tensor_that_is_too_large_leaves_no_digest(sink: Sink) -> None:
    model = CountingModel(fields=("age", "height"))
    asks(PredictionLog(model, redact=("age",), max_elements=1), request([[41.0, 1.8]]))
    assert sink.records[0].inputs == {"input": None}


def test_a_name_to_redact_that_nothing_has_refuses_the_start() -> None:
    with pytest.raises(CompositionError, match="nothing called 'agee' to redact in the log; the names are age, input"):
        asks(PredictionLog(CountingModel(fields=("age",)), sink="memory://", redact=("agee",)))


def test_while_it_is_not_known_what_to_redact_no_tensor_is_kept(sink: Sink, caplog: pytest.LogCaptureFixture) -> None:
    class Late(CountingModel):
        late = True

        @property
        def metadata(self) -> ModelMetadata:
            if self.late:
                self.late = False
                raise NotStarted(self.name)
            return super().metadata

    asks(PredictionLog(Late(fields=("age",)), redact=("agee",)), request([[1.0]]))
    assert (sink.records[0].inputs, sink.records[0].outputs) == (None, None)
    assert "logs no tensors: there is nothing called 'agee'" in caplog.text


def test_an_image_and_a_tensor_that_is_too_large_leave_size_and_digest(sink: Sink) -> None:
    image, large = b"\x89PNG\r\n", np.arange(20, dtype=np.float32).reshape(1, 20)
    model = CombinedMetadata(
        CountingModel(),
        [
            TensorSpec("large", "FP32", (-1, 20)),
            TensorSpec("image", "BYTES", (-1,), content="image"),
            TensorSpec("key", "BYTES", (-1,)),
        ],
    )
    asks(
        PredictionLog(model, max_elements=19),
        request({"large": large, "image": np.array([image], object), "key": np.array(["日本".encode()], object)}),
    )
    assert sink.records[0].inputs == {
        "large": {"datatype": "FP32", "shape": [1, 20], "bytes": 80, "sha256": digest(large.tobytes())},
        "image": {"datatype": "BYTES", "shape": [1], "bytes": 6, "sha256": digest(image)},
        "key": ["日本"],
    }


def test_bytes_that_are_no_text_or_too_long_leave_a_digest() -> None:
    assert shown(np.array([b"ab", b""], object), 2) == ["ab", ""]
    assert shown(np.array([b"abc"], object), 2)["bytes"] == 3
    assert shown(np.array([[b"\xff"]], object), 9) == {
        "datatype": "BYTES", "shape": [1, 1], "bytes": 1, "sha256": digest(b"\xff"),
    }  # fmt: skip
    assert shown(np.array([["a"], ["b"]], object), 9) == [["a"], ["b"]]
    assert shown(np.array([True, False]), 9) == [True, False]


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# ---- the queue ----


def test_what_does_not_fit_is_dropped_and_counted_by_arm_and_the_request_is_answered(sink: Sink) -> None:
    sink.error = Unavailable("down")
    root = PredictionLog(CountingModel(), max_records=2)

    async def work(app: AppRuntime) -> None:
        for arm in ("a", "a", "b", "", "b"):
            each = request([[1.0]])
            if arm:
                each.context.note("arm", arm)
            assert (await root.predict(each)).outputs["probabilities"].tolist() == [[1.0]]
        assert [dropped(app, arm) for arm in ("a", "b", "")] == [0, 2, 1]
        sink.error = None

    run(root, work)
    assert len(sink.records) == 2


def test_bytes_are_bounded_too(sink: Sink) -> None:
    root = PredictionLog(CountingModel(), max_bytes=10_000)

    async def work(app: AppRuntime) -> None:
        for _ in range(3):
            await root.predict(request(np.zeros((1000, 1), np.float32)))
        assert dropped(app) == 2

    run(root, work)


def test_a_sink_that_is_down_is_told_in_health_and_gets_all_in_order_when_it_is_back(
    sink: Sink, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_queue, "RETRY_FIRST", 0.01)
    sink.error = Unavailable("the disk is full: /secret/path")
    root = PredictionLog(CountingModel())
    asked = [request([[float(n)]]) for n in range(5)]

    async def work(app: AppRuntime) -> None:
        for each in asked[:3]:
            await root.predict(each)
        await until(lambda: bool(root.health().reason))
        assert root.health().ready
        assert root.health().reason == "the log of counting accepts no records now"
        assert (await root.check()).reason == root.health().reason
        await root.predict(asked[3])
        sink.error = None
        await until(lambda: len(sink.records) == 4)
        assert root.health().reason == ""
        await root.predict(asked[4])
        assert dropped(app) == 0

    run(root, work)
    assert [found.prediction_id for found in sink.records] == [each.context.prediction_id for each in asked]
    assert caplog.text.count("fails (the disk is full") == 1
    assert caplog.text.count("accepts records again") == 1


def test_what_waits_is_written_at_the_stop_and_together(sink: Sink) -> None:
    asks(PredictionLog(CountingModel()), *[request([[float(n)]]) for n in range(30)])
    assert sink.groups == [30]


def test_a_sink_that_stays_down_does_not_hold_up_the_stop_and_what_waits_is_counted(
    sink: Sink, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(log_queue, "FLUSH_SECONDS", 0.01)
    sink.error = Unavailable("down")
    root = PredictionLog(CountingModel())

    async def work(app: AppRuntime) -> None:
        await root.predict(request([[1.0]]))
        await root.stop()
        assert dropped(app) == 1

    run(root, work)
    assert "1 records of 'counting' were not written" in caplog.text


def test_records_are_written_without_a_stop_and_nobody_waits_for_that(sink: Sink) -> None:
    root = PredictionLog(CountingModel())

    async def work(_: AppRuntime) -> None:
        await root.predict(request([[1.0]]))
        assert sink.records == []
        await until(lambda: len(sink.records) == 1)
        await root.predict(request([[1.0]]))
        await until(lambda: len(sink.records) == 2)

    run(root, work)


def test_many_bytes_are_written_at_once(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_queue, "GATHER", 60.0)
    monkeypatch.setattr(log_queue, "SOON", 10_000)
    root = PredictionLog(CountingModel())

    async def work(_: AppRuntime) -> None:
        await root.predict(request([[1.0]]))
        await asyncio.sleep(0)
        assert sink.records == []
        await root.predict(request(np.zeros((5000, 1), np.float32)))
        await until(lambda: len(sink.records) == 2)

    run(root, work)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not true():
            await asyncio.sleep(0.002)


# ---- options ----


@pytest.mark.parametrize(
    "options", [{"sample": -0.1}, {"sample": 1.1}, {"max_records": 0}, {"max_bytes": 0}, {"redact": "age"}]
)
def test_options_out_of_their_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(CompositionError):
        PredictionLog(CountingModel(), **options)


def test_a_sink_of_an_unknown_kind_refuses_the_start_with_what_there_is() -> None:
    with pytest.raises(UserError, match="there is no LogSink for kafka://; use"):
        asks(PredictionLog(CountingModel(), sink="kafka://host"))
