"""Pipeline: how stages fit, whose error it was, what the whole says of itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from mlpatterns import Pipeline
from mlpatterns.errors import DeadlineExceeded, ErrorCode, InternalError, InvalidInput, PredictionError, Unavailable
from mlpatterns.metadata import TensorSpec
from mlpatterns.models.python.python import PythonModel
from mlpatterns.predictor import InferenceRequest, InferenceResponse, Predictor
from mlpatterns.runtime import running
from mlpatterns.settings import Settings
from mlpatterns.testing import CountingModel, FakeClock, FlakyModel, SlowModel, client, request
from mlpatterns.user_errors import CompositionError


def run(work: Callable[[], Coroutine[Any, Any, None]], *roots: Predictor, clock: FakeClock | None = None) -> None:
    async def main() -> None:
        async with running(*roots, settings=Settings(), clock=clock):
            await work()

    asyncio.run(main())


def stage(name: str, inputs: Mapping[str, str], outputs: Mapping[str, str], **options: Any) -> PythonModel:
    """Gives the sum of its inputs plus one as each output; names and datatypes as said."""

    def predict(state: None, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        assert set(arrays) == set(inputs)
        total = np.add.reduce([np.asarray(value) for value in arrays.values()]) + 1
        return {output: total * (position + 1) for position, output in enumerate(outputs)}

    return PythonModel(
        lambda: None,
        predict,
        inputs=[TensorSpec(key, kind, (-1, -1)) for key, kind in inputs.items()],
        outputs=[TensorSpec(key, kind, (-1, -1)) for key, kind in outputs.items()],
        name=name,
        **options,
    )


def test_a_stage_takes_what_it_needs_by_name_from_more_than_it_needs() -> None:
    first = stage("first", {"x": "FP32"}, {"a": "FP32", "b": "FP32", "c": "FP32"})
    root = Pipeline(first, stage("second", {"c": "FP32", "a": "FP32"}, {"y": "FP32"}))

    async def work() -> None:
        response = await root.predict(request({"x": [[1.0]]}))
        assert response.outputs["y"].tolist() == [[2.0 + 6.0 + 1.0]]

    run(work, root)


def test_the_one_output_becomes_the_one_input_whatever_they_are_called() -> None:
    root = Pipeline(stage("first", {"x": "FP32"}, {"a": "FP32"}), stage("second", {"z": "FP32"}, {"y": "FP32"}))

    async def work() -> None:
        assert (await root.predict(request({"x": [[1.0]]}))).outputs["y"].tolist() == [[3.0]]

    run(work, root)


def test_of_several_outputs_the_primary_one_becomes_the_one_input() -> None:
    first = stage("first", {"x": "FP32"}, {"a": "FP32", "b": "FP32"}, primary_output="b")
    root = Pipeline(first, stage("second", {"z": "FP32"}, {"y": "FP32"}))

    async def work() -> None:
        assert (await root.predict(request({"x": [[1.0]]}))).outputs["y"].tolist() == [[5.0]]

    run(work, root)


def test_stages_that_do_not_fit_fail_the_start_with_a_sentence() -> None:
    async def work() -> None:
        raise AssertionError("it must not run")

    first = stage("first", {"x": "FP32"}, {"a": "FP32"})
    with pytest.raises(CompositionError, match="'second' takes 'p', 'q', which 'first' does not give; it gives a"):
        run(work, Pipeline(first, stage("second", {"p": "FP32", "q": "FP32"}, {"y": "FP32"})))
    with pytest.raises(CompositionError, match="takes 'a' as INT64, but 'first' gives FP32; convert it in 'first'"):
        run(work, Pipeline(first, stage("second", {"a": "INT64"}, {"y": "FP32"})))


def test_a_pipeline_of_nothing_is_refused() -> None:
    with pytest.raises(CompositionError, match="at least one stage"):
        Pipeline()


class Late(CountingModel):
    """Has no metadata until it is told that it is there, like a remote that is down at start."""

    there = False

    @property
    def metadata(self) -> Any:
        if not self.there:
            return CountingModel.metadata.fget(CountingModel("late"))  # type: ignore[attr-defined]
        return super().metadata


def test_a_stage_that_is_not_there_yet_is_unavailable_and_linked_by_its_first_request() -> None:
    late = Late("late")
    root = Pipeline(CountingModel("first"), late)

    async def work() -> None:
        with pytest.raises(Unavailable, match="stage 'late': this stage is not ready yet") as caught:
            await root.predict(request([[1.0]]))
        assert caught.value.retry_after == 1.0
        late.there = True
        assert (await root.predict(request([[1.0]]))).outputs["probabilities"].tolist() == [[1.0]]

    run(work, root)


def test_a_late_stage_that_does_not_fit_is_said_once_and_the_whole_is_not_ready(
    caplog: pytest.LogCaptureFixture,
) -> None:
    late = Late("late")
    late._described = replace(late._described, inputs=(TensorSpec("input", "BYTES", (-1,)),))
    root = Pipeline(CountingModel("first"), late, CountingModel("last"))

    async def main() -> None:
        async with client(root) as http:
            late.there = True
            for _ in range(2):
                ready = await http.get("/health/ready")
                assert ready.status_code == 503
                assert ready.json()["error"].startswith("not ready yet: pipeline cannot answer: 'late' takes 'input'")
            asked = await http.post("/predict", json={"data": [[1.0]]})
            assert (asked.status_code, asked.json()) == (503, {"error": "the model 'pipeline' is not ready yet"})

    asyncio.run(main())
    said = [record for record in caplog.records if "takes 'input' as BYTES" in record.getMessage()]
    assert len(said) == 1
    assert said[0].exc_info is None


def test_a_late_stage_that_does_not_fit_is_a_composition_error_at_its_first_request() -> None:
    late = Late("late")
    late._described = replace(late._described, inputs=(TensorSpec("input", "BYTES", (-1,)),))
    root = Pipeline(CountingModel("first"), late)

    async def work() -> None:
        late.there = True
        with pytest.raises(CompositionError, match="takes 'input' as BYTES"):
            await root.predict(request([[1.0]]))

    run(work, root)


def test_stages_of_one_name_are_told_apart() -> None:
    root = Pipeline(CountingModel("m"), CountingModel("m"), CountingModel("m"))
    assert list(root.children) == ["m", "m_2", "m_3"]


def test_an_error_names_its_stage_through_pipelines_in_pipelines() -> None:
    bad = FlakyModel("model", error=InvalidInput("the row is too short"))
    root = Pipeline(CountingModel("prep"), Pipeline(CountingModel("scale"), bad, name="inner"))

    async def work() -> None:
        with pytest.raises(InvalidInput) as caught:
            await root.predict(request([[1.0]]))
        assert str(caught.value) == "stage 'inner/model': the row is too short"
        assert caught.value.stages == ("inner", "model")

    run(work, root)


def test_what_is_no_prediction_error_becomes_internal_without_its_words(caplog: pytest.LogCaptureFixture) -> None:
    root = Pipeline(CountingModel("prep"), FlakyModel("model", error=RuntimeError("/secret/path")))

    async def work() -> None:
        with pytest.raises(InternalError) as caught:
            await root.predict(request([[1.0]]))
        assert str(caught.value) == "stage 'model': this stage failed"

    run(work, root)
    assert "/secret/path" in caplog.text


def test_the_deadline_is_checked_between_stages() -> None:
    clock = FakeClock()
    after = CountingModel("after")
    root = Pipeline(SlowModel("slow", seconds=2.0), after)

    async def work() -> None:
        asking = asyncio.create_task(root.predict(request([[1.0]], deadline=clock.monotonic() + 1.0)))
        await clock.advance(2.0)
        with pytest.raises(DeadlineExceeded, match="stage 'after'"):
            await asking
        assert after.calls == 0

    run(work, root, clock=clock)


def test_the_outputs_asked_for_go_to_the_last_stage_only() -> None:
    first = CountingModel("first")
    root = Pipeline(first, stage("second", {"z": "FP32"}, {"y": "FP32", "w": "FP32"}))

    async def work() -> None:
        response = await root.predict(request([[1.0]], outputs=("w",)))
        assert list(response.outputs) == ["w"]
        assert first.requests[0].outputs == ()

    run(work, root)


def test_metadata_joins_the_first_and_the_last_and_is_made_once() -> None:
    first = CountingModel("first", fields=("a", "b"), version="7")
    last = CountingModel("last", labels=("low",), version="9")
    root = Pipeline(first, last, name="whole")

    async def work() -> None:
        metadata = root.metadata
        assert (metadata.name, metadata.version, metadata.platform) == ("whole", "9", "pipeline")
        assert metadata.inputs[0].fields == ("a", "b")
        assert metadata.sample is first.metadata.sample
        assert metadata.labels == ("low",)
        assert root.metadata is metadata
        response = await root.predict(request([[1.0, 2.0]]))
        assert (response.model_name, response.model_version) == ("whole", "9")

    run(work, root)


def test_identity_depends_on_each_stage_and_on_their_order() -> None:
    def identity(*digests: str | None) -> str | None:
        return Pipeline(*(CountingModel(digest=digest) for digest in digests)).identity()

    known = [identity("a", "b"), identity("b", "a"), identity("a", "a"), identity("a"), identity("a", "b", "b")]
    assert len(set(known)) == len(known)
    assert identity("a", None) is None


class Answers(CountingModel):
    """Answers with chosen fields."""

    def __init__(self, name: str, **fields: Any) -> None:
        super().__init__(name)
        self.fields = fields

    def answer(self, request: InferenceRequest) -> InferenceResponse:
        return replace(super().answer(request), **self.fields)


def test_a_stage_that_answers_later_in_the_middle_is_an_error_and_at_the_end_is_not() -> None:
    middle = Pipeline(Answers("queue", status="accepted"), CountingModel("after"))
    end = Pipeline(CountingModel("before"), Answers("queue", status="accepted", parameters={"job": "1"}))

    async def work() -> None:
        with pytest.raises(PredictionError, match="stage 'queue': this stage answers later") as caught:
            await middle.predict(request([[1.0]]))
        assert caught.value.code is ErrorCode.INTERNAL
        response = await end.predict(request([[1.0]]))
        assert (response.status, response.parameters) == ("accepted", {"job": "1"})

    run(work, middle, end)


@pytest.mark.parametrize("position", [0, 1])
def test_one_degraded_stage_degrades_the_whole_and_one_without_identity_takes_it_away(position: int) -> None:
    stages: list[CountingModel] = [CountingModel("a"), CountingModel("b")]
    stages[position] = Answers("odd", degraded=True, identity=None)
    root = Pipeline(*stages)

    async def work() -> None:
        response = await root.predict(request([[1.0]]))
        assert response.degraded
        assert response.identity is None

    run(work, root)


def test_a_stage_that_does_not_give_what_it_promised_is_named() -> None:
    root = Pipeline(Answers("liar", outputs={}), CountingModel("after"))

    async def work() -> None:
        with pytest.raises(InternalError, match="stage 'liar': this stage gave no output 'probabilities'"):
            await root.predict(request([[1.0]]))

    run(work, root)
