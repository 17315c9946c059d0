"""FanOut: all at once, one failing, nobody left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from mlpatterns import FanOut
from mlpatterns.errors import (
    Conflict,
    ErrorCode,
    InternalError,
    InvalidInput,
    NotFound,
    NotStarted,
    PredictionError,
    Unavailable,
)
from mlpatterns.metadata import ModelMetadata, TensorSpec
from mlpatterns.predictor import InferenceRequest, InferenceResponse, Predictor, Runtime
from mlpatterns.runtime import running
from mlpatterns.settings import Settings
from mlpatterns.testing import CountingModel, FakeClock, FlakyModel, SlowModel, client, request
from mlpatterns.user_errors import CompositionError

BEST = [TensorSpec("best", "FP32", (-1, 1))]


def run(work: Callable[[], Coroutine[Any, Any, None]], *roots: Predictor, clock: FakeClock | None = None) -> None:
    async def main() -> None:
        async with running(*roots, settings=Settings(), clock=clock):
            await work()

    asyncio.run(main())


def best(answers: Mapping[str, InferenceResponse]) -> dict[str, np.ndarray]:
    return {"best": np.maximum.reduce([answer.outputs["probabilities"] for answer in answers.values()])}


class Fails(CountingModel):
    """Fails `seconds` after it was asked."""

    def __init__(self, name: str, seconds: float, error: Exception) -> None:
        super().__init__(name)
        self.seconds, self.error = seconds, error

    async def work(self, runtime: Runtime, request: InferenceRequest) -> None:
        await runtime.clock.sleep(self.seconds)
        raise self.error


class Lingers(CountingModel):
    """Takes `seconds` to end after it was cancelled, like a thread that cannot be stopped."""

    def __init__(self, name: str, seconds: float, *, swallows: bool = False) -> None:
        super().__init__(name)
        self.seconds, self.swallows = seconds, swallows

    async def work(self, runtime: Runtime, request: InferenceRequest) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(self.seconds)
            if not self.swallows:
                raise


def test_the_parts_are_asked_at_once_and_their_outputs_carry_their_names() -> None:
    clock = FakeClock()
    parts = {name: SlowModel(name, seconds=1.0) for name in ("a", "b", "c")}
    root = FanOut(parts)

    async def work() -> None:
        asking = asyncio.create_task(root.predict(request([[1.0, 2.0]])))
        await clock.advance(1.0)
        response = await asking
        assert list(response.outputs) == ["a.probabilities", "b.probabilities", "c.probabilities"]
        assert (response.status, response.degraded, response.parameters) == ("done", False, {})

    run(work, root, clock=clock)


def test_one_part_alone_is_answered_too() -> None:
    root = FanOut({"only": CountingModel()})

    async def work() -> None:
        assert list((await root.predict(request([[1.0]]))).outputs) == ["only.probabilities"]

    run(work, root)


@pytest.mark.parametrize("failing", ["a", "b", "c"])
def test_the_first_error_ends_the_other_parts_and_names_its_own(failing: str) -> None:
    clock = FakeClock()
    parts: dict[str, CountingModel] = {name: SlowModel(name, seconds=60.0) for name in ("a", "b", "c")}
    parts[failing] = Fails(failing, 1.0, NotFound("no such key"))
    root = FanOut(parts)

    async def work() -> None:
        asking = asyncio.create_task(root.predict(request([[1.0]])))
        await clock.advance(1.0)
        with pytest.raises(NotFound, match=f"stage '{failing}': no such key"):
            await asking
        assert asking.cancelling() == 0
        assert [part.running for part in parts.values()] == [0, 0, 0]
        assert sum(part.cancelled for part in parts.values()) == 2

    run(work, root, clock=clock)


@pytest.mark.parametrize("failing", ["a", "b"])
def test_after_an_error_the_answer_waits_until_the_other_part_has_truly_ended(failing: str) -> None:
    other = "b" if failing == "a" else "a"
    parts: dict[str, CountingModel] = {
        failing: Fails(failing, 0.0, Conflict("first")),
        other: Lingers(other, 0.005),
    }
    root = FanOut(dict(sorted(parts.items())))

    async def work() -> None:
        with pytest.raises(Conflict, match="first"):
            await root.predict(request([[1.0]]))
        assert parts[other].running == 0
        assert parts[other].cancelled == 1

    run(work, root)


@pytest.mark.parametrize("failing", ["a", "b"])
def test_a_part_that_swallows_its_cancellation_changes_nothing(failing: str) -> None:
    other = "b" if failing == "a" else "a"
    parts: dict[str, CountingModel] = {
        failing: Fails(failing, 0.0, Conflict("first")),
        other: Lingers(other, 0.001, swallows=True),
    }
    root = FanOut(dict(sorted(parts.items())))

    async def work() -> None:
        with pytest.raises(Conflict, match="first"):
            await root.predict(request([[1.0]]))
        await asyncio.sleep(0)  # and the caller is not left with a cancellation that was not its own
        assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]

    run(work, root)


@pytest.mark.parametrize("swallows", [False, True])
def test_a_cancelled_caller_waits_for_all_parts_and_is_cancelled_even_if_they_swallow_it(
    swallows: bool,
) -> None:
    parts = {name: Lingers(name, 0.002, swallows=swallows) for name in ("a", "b", "c")}
    root = FanOut(parts)

    async def work() -> None:
        asking = asyncio.create_task(root.predict(request([[1.0]])))
        while parts["a"].running + parts["b"].running + parts["c"].running < 3:
            await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert [part.running for part in parts.values()] == [0, 0, 0]

    run(work, root)


def test_a_caller_cancelled_while_it_waits_for_the_others_cancels_them() -> None:
    slow = SlowModel("slow", seconds=60.0)
    root = FanOut({"slow": slow, "fast": CountingModel("fast")})

    async def work() -> None:
        asking = asyncio.create_task(root.predict(request([[1.0]])))
        while not slow.running:
            await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert (slow.running, slow.cancelled) == (0, 1)

    run(work, root)


@pytest.mark.parametrize("failing", ["a", "b"])
def test_a_callers_cancellation_wins_over_an_error_that_comes_meanwhile(failing: str) -> None:
    other = "b" if failing == "a" else "a"
    parts: dict[str, CountingModel] = {
        failing: Fails(failing, 0.001, Conflict("first")),
        other: Lingers(other, 0.02),
    }
    root = FanOut(dict(sorted(parts.items())))

    async def work() -> None:
        asking = asyncio.create_task(root.predict(request([[1.0]])))
        while parts[other].running == 0 or parts[failing].running:
            await asyncio.sleep(0.001)
        asking.cancel()  # the error came, the other part is being waited for
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert parts[other].running == 0

    run(work, root)


@pytest.mark.parametrize("names", [("slow", "failing"), ("failing", "slow")])
def test_a_time_limit_around_it_is_still_a_time_limit(names: tuple[str, str]) -> None:
    models: dict[str, CountingModel] = {
        "slow": SlowModel("slow", seconds=60.0),
        "failing": Fails("failing", 60.0, Conflict("late")),
    }
    root = FanOut({name: models[name] for name in names})

    async def work() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.002):
                await root.predict(request([[1.0]]))
        assert [model.running for model in models.values()] == [0, 0]

    run(work, root)


class TimesOut(CountingModel):
    """Uses asyncio.timeout inside, as clients of remote services do."""

    async def work(self, runtime: Runtime, request: InferenceRequest) -> None:
        try:
            async with asyncio.timeout(0.001):
                await asyncio.Event().wait()
        except TimeoutError:
            raise Unavailable("the remote did not answer") from None


@pytest.mark.parametrize("names", [("a", "b"), ("b", "a")])
def test_a_time_limit_inside_a_part_is_that_parts_error(names: tuple[str, str]) -> None:
    root = FanOut({name: TimesOut(name) if name == "a" else Lingers(name, 0.0) for name in names})

    async def work() -> None:
        with pytest.raises(Unavailable, match="stage 'a': the remote did not answer"):
            await root.predict(request([[1.0]]))

    run(work, root)


def test_partial_gives_what_came_and_names_what_is_missing() -> None:
    root = FanOut(
        {"a": FlakyModel("a"), "b": CountingModel("b"), "c": FlakyModel("c", error=RuntimeError("odd"))},
        on_failure="partial",
    )

    async def work() -> None:
        response = await root.predict(request([[1.0]]))
        assert list(response.outputs) == ["b.probabilities"]
        assert response.degraded
        assert response.parameters == {"missing": "a,c"}
        assert response.identity is None

    run(work, root)


def test_partial_lets_the_others_finish() -> None:
    clock = FakeClock()
    root = FanOut(
        {"slow": SlowModel("slow", seconds=5.0), "bad": Fails("bad", 1.0, Conflict("no"))}, on_failure="partial"
    )

    async def work() -> None:
        asking = asyncio.create_task(root.predict(request([[1.0]])))
        await clock.advance(5.0)
        assert list((await asking).outputs) == ["slow.probabilities"]

    run(work, root, clock=clock)


def test_partial_with_nothing_at_all_raises_the_error_that_came_first() -> None:
    clock = FakeClock()
    root = FanOut(
        {"a": Fails("a", 2.0, Conflict("second")), "b": Fails("b", 1.0, NotFound("first"))}, on_failure="partial"
    )

    async def work() -> None:
        asking = asyncio.create_task(root.predict(request([[1.0]])))
        await clock.advance(2.0)
        with pytest.raises(NotFound, match="stage 'b': first"):
            await asking

    run(work, root, clock=clock)


class CancelsItself(CountingModel):
    async def work(self, runtime: Runtime, request: InferenceRequest) -> None:
        raise asyncio.CancelledError


@pytest.mark.parametrize("names", [("odd", "good"), ("good", "odd")])
def test_a_part_that_is_cancelled_from_inside_is_an_internal_error_and_not_a_cancelled_caller(
    names: tuple[str, str],
) -> None:
    root = FanOut({name: CancelsItself(name) if name == "odd" else CountingModel(name) for name in names})

    async def work() -> None:
        with pytest.raises(InternalError, match="stage 'odd': this part cancelled itself"):
            await root.predict(request([[1.0]]))

    run(work, root)


class Ends(CountingModel):
    """Raises what would end the event loop, a generator or a thread."""

    def __init__(self, name: str, error: type[BaseException]) -> None:
        super().__init__(name)
        self.error = error

    async def work(self, runtime: Runtime, request: InferenceRequest) -> None:
        raise self.error


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit, BaseException])
@pytest.mark.parametrize("names", [("odd", "good"), ("good", "odd")])
def test_a_part_that_raises_what_is_no_exception_is_an_internal_error(
    names: tuple[str, str], error: type[BaseException]
) -> None:
    root = FanOut({name: Ends(name, error) if name == "odd" else CountingModel(name) for name in names})

    async def work() -> None:
        with pytest.raises(InternalError, match="stage 'odd': this part failed"):
            await root.predict(request([[1.0]]))

    run(work, root)


def test_what_is_no_prediction_error_becomes_internal_without_its_words(caplog: pytest.LogCaptureFixture) -> None:
    root = FanOut({"a": FlakyModel(error=RuntimeError("/secret/path")), "b": CountingModel()})

    async def work() -> None:
        with pytest.raises(InternalError) as caught:
            await root.predict(request([[1.0]]))
        assert str(caught.value) == "stage 'a': this part failed"

    run(work, root)
    assert "/secret/path" in caplog.text


async def best_later(answers: Mapping[str, InferenceResponse]) -> dict[str, np.ndarray]:
    await asyncio.sleep(0)
    return best(answers)


@pytest.mark.parametrize("combine", [best, best_later])
def test_combine_plain_or_async_makes_the_outputs(
    combine: Callable[..., dict[str, np.ndarray] | Awaitable[dict[str, np.ndarray]]],
) -> None:
    root = FanOut({"a": CountingModel(), "b": CountingModel()}, combine=combine, outputs=BEST, labels=["low"])

    async def work() -> None:
        metadata = root.metadata
        assert (metadata.primary_output, metadata.labels) == ("best", ("low",))
        assert [spec.name for spec in metadata.outputs] == ["best"]
        response = await root.predict(request([[1.0, 2.0]], outputs=("best",)))
        assert response.outputs["best"].tolist() == [[3.0]]

    run(work, root)


def test_an_error_of_combine_is_internal_unless_it_is_a_prediction_error(caplog: pytest.LogCaptureFixture) -> None:
    def odd(answers: Mapping[str, InferenceResponse]) -> dict[str, np.ndarray]:
        raise ZeroDivisionError("/secret")

    def refuses(answers: Mapping[str, InferenceResponse]) -> dict[str, np.ndarray]:
        raise InvalidInput("the parts disagree")

    def forgets(answers: Mapping[str, InferenceResponse]) -> dict[str, np.ndarray]:
        return {}

    roots = [FanOut({"a": CountingModel()}, combine=combine, outputs=BEST) for combine in (odd, refuses, forgets)]

    async def work() -> None:
        for root, code, words in zip(
            roots,
            (ErrorCode.INTERNAL, ErrorCode.INVALID, ErrorCode.INTERNAL),
            ("could not be combined", "the parts disagree", "no output 'best'"),
            strict=True,
        ):
            with pytest.raises(PredictionError, match=words) as caught:
                await root.predict(request([[1.0]]))
            assert caught.value.code is code
            assert "/secret" not in str(caught.value)

    run(work, *roots)


def test_the_outputs_asked_for_decide_which_parts_are_asked() -> None:
    a, b = CountingModel("a"), CountingModel("b")
    root = FanOut({"a": a, "b": b})

    async def work() -> None:
        response = await root.predict(request([[1.0]], outputs=("b.probabilities",)))
        assert list(response.outputs) == ["b.probabilities"]
        assert (a.calls, b.calls) == (0, 1)
        assert response.identity == root.identity()
        for wrong in ("probabilities", "c.probabilities", "a."):
            with pytest.raises(InvalidInput, match="there is no output"):
                await root.predict(request([[1.0]], outputs=(wrong,)))

    run(work, root)


def test_identity_depends_on_parts_names_and_the_digest_of_combine() -> None:
    a, b = CountingModel(digest="a"), CountingModel(digest="b")
    known = [
        FanOut({"x": a, "y": b}).identity(),
        FanOut({"x": b, "y": a}).identity(),
        FanOut({"x": a, "z": b}).identity(),
        FanOut({"x": a, "y": b}, combine=best, outputs=BEST, digest="1").identity(),
        FanOut({"x": a, "y": b}, combine=best, outputs=BEST, digest="2").identity(),
    ]
    assert None not in known
    assert len(set(known)) == len(known)
    assert FanOut({"x": a, "y": b}, combine=best, outputs=BEST).identity() is None
    assert FanOut({"x": a, "y": CountingModel(digest=None)}).identity() is None


def test_parts_that_take_other_inputs_fail_the_start_with_a_sentence() -> None:
    other = CountingModel("other", fields=("x", "y"))

    async def work() -> None:
        raise AssertionError("it must not run")

    with pytest.raises(CompositionError, match=r"'a' takes input FP32\[-1, -1\], 'b' takes input FP32\[-1, 2\]"):
        run(work, FanOut({"a": CountingModel(), "b": other}))


class Late(CountingModel):
    """Has no metadata until it is told that it is there, like a remote that is down at start."""

    there = False

    @property
    def metadata(self) -> ModelMetadata:
        if not self.there:
            raise NotStarted(self.name)
        return super().metadata


def test_a_late_part_that_takes_other_inputs_is_said_once_and_the_whole_is_not_ready(
    caplog: pytest.LogCaptureFixture,
) -> None:
    late = Late("late", fields=("x", "y"))
    root = FanOut({"a": CountingModel(), "b": late})

    async def main() -> None:
        async with client(root) as http:
            late.there = True
            for _ in range(2):
                ready = await http.get("/health/ready")
                assert ready.status_code == 503
                assert "fan_out cannot answer: the parts of 'fan_out' must take the same" in ready.json()["error"]
            asked = await http.post("/predict", json={"data": [[1.0]]})
            assert (asked.status_code, asked.json()) == (503, {"error": "the model 'fan_out' is not ready yet"})
            assert (await http.get("/docs")).status_code == 200
            assert (await http.get("/openapi.json")).status_code == 200

    asyncio.run(main())
    said = [record for record in caplog.records if "must take the same inputs" in record.getMessage()]
    assert len(said) == 1
    assert said[0].exc_info is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"parts": {}}, "at least one part"),
        ({"parts": {"a.b": CountingModel()}}, "no dot"),
        ({"parts": {"a,b": CountingModel()}}, "no comma"),
        ({"parts": {"a": CountingModel()}, "combine": best}, "go together"),
        ({"parts": {"a": CountingModel()}, "outputs": BEST}, "go together"),
        ({"parts": {"a": CountingModel()}, "combine": best, "outputs": BEST, "primary_output": "x"}, "not one of the"),
        ({"parts": {"a": CountingModel()}, "on_failure": "maybe"}, "'fail' or 'partial'"),
    ],
)
def test_what_cannot_work_is_refused_at_construction(options: dict[str, Any], words: str) -> None:
    with pytest.raises(CompositionError, match=words):
        FanOut(**options)


class Later(CountingModel):
    def answer(self, request: InferenceRequest) -> InferenceResponse:
        return replace(super().answer(request), status="accepted")


def test_a_part_that_answers_later_is_an_error_that_names_it() -> None:
    root = FanOut({"now": CountingModel(), "queue": Later()})

    async def work() -> None:
        with pytest.raises(InternalError, match="stage 'queue': this part answers later"):
            await root.predict(request([[1.0]]))

    run(work, root)


def test_versions_of_the_parts_are_told_once_each() -> None:
    root = FanOut({"a": CountingModel(version="1"), "b": CountingModel(version="2"), "c": CountingModel(version="1")})

    async def work() -> None:
        assert (await root.predict(request([[1.0]]))).model_version == root.metadata.version == "1,2"

    run(work, root)


def test_after_a_part_that_fails_at_once_no_other_is_asked() -> None:
    flaky, second, last = FlakyModel(fails=[2]), CountingModel("second"), CountingModel("last")
    root = FanOut({"flaky": flaky, "second": second, "last": last})

    async def work() -> None:
        await root.predict(request([[1.0]]))
        with pytest.raises(Unavailable, match="flaky"):
            await root.predict(request([[1.0]]))
        assert (flaky.calls, second.calls, last.calls) == (2, 1, 1)
        await root.predict(request([[1.0]]))
        assert (flaky.calls, second.calls, last.calls) == (3, 2, 2)

    run(work, root)
