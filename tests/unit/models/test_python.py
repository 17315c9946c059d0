"""PythonModel: the same answers, errors and cancellation wherever its code runs."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np
import psutil
import pytest

from mlpatterns.errors import DeadlineExceeded, InternalError, InvalidInput, NotStarted, Unavailable
from mlpatterns.metadata import TensorSpec
from mlpatterns.models.python.python import PythonModel
from mlpatterns.runtime import running
from mlpatterns.settings import Settings
from mlpatterns.testing import FakeClock, request
from mlpatterns.user_errors import CompositionError, ModelFileError, SettingsError
from unit.models import functions

INPUTS = [TensorSpec("x", "FP32", (-1, -1))]
OUTPUTS = [TensorSpec("y", "FP32", (-1,)), TensorSpec("pid", "INT64", (-1,))]

RunOn = Literal["loop", "thread", "process"]
everywhere = pytest.mark.parametrize("run_on", ["loop", "thread", "process"])


def model(
    predict: Callable[..., Any] = functions.predict, load: Callable[[], Any] = functions.load, **options: Any
) -> PythonModel:
    return PythonModel(load, predict, inputs=INPUTS, outputs=options.pop("outputs", OUTPUTS), **options)


def run(root: PythonModel, work: Callable[[], Awaitable[None]], clock: FakeClock | None = None) -> None:
    async def main() -> None:
        async with running(root, settings=Settings(threads=1), clock=clock):
            await work()

    asyncio.run(main())


def x(*rows: list[float]) -> Any:
    return request({"x": list(rows)})


async def ask(root: PythonModel, *rows: list[float]) -> list[float]:
    answer: list[float] = (await root.predict(x(*rows))).outputs["y"].tolist()
    return answer


async def child_of(root: PythonModel) -> int:
    return int((await root.predict(x([0.0]))).outputs["pid"][0])


# ---- wherever it runs ----


@everywhere
def test_it_loads_once_and_answers_every_row(run_on: RunOn) -> None:
    root = model(run_on=run_on, name="sum", version="7", labels=["a"], digest="d")

    async def work() -> None:
        response = await root.predict(x([1.0, 2.0], [3.0, 4.0]))
        assert response.outputs["y"].tolist() == [13.0, 17.0]
        assert (response.model_name, response.model_version) == ("sum", "7")
        assert response.identity == root.identity() is not None
        here = int(response.outputs["pid"][0]) == os.getpid()
        assert here == (run_on != "process")
        metadata = root.metadata
        assert (metadata.name, metadata.platform, metadata.primary_output) == ("sum", "python", "y")
        assert metadata.labels == ("a",)

    run(root, work)
    with pytest.raises(NotStarted):
        _ = root.metadata


@everywhere
def test_a_load_that_fails_fails_the_start_with_one_sentence(run_on: RunOn) -> None:
    async def work() -> None:
        raise AssertionError("it must not run")

    with pytest.raises(ModelFileError) as caught:
        run(model(load=functions.load_fails, run_on=run_on, name="m"), work)
    assert str(caught.value) == "the model 'm' did not load: FileNotFoundError: weights.bin is missing"


@everywhere
def test_an_error_of_the_models_code_tells_the_client_nothing_of_it_and_the_log_everything(
    run_on: RunOn, caplog: pytest.LogCaptureFixture
) -> None:
    root = model(functions.predict_by_command, run_on=run_on)

    async def work() -> None:
        with pytest.raises(InternalError) as caught:
            await ask(root, [1.0, 0.0])
        assert str(caught.value) == "the model failed"
        with pytest.raises(InvalidInput, match="x is out of range"):
            await ask(root, [2.0, 0.0])
        assert await ask(root, [0.0, 5.0]) == [15.0]

    run(root, work)
    assert "/secret/path" in caplog.text
    assert "predict_by_command" in caplog.text


def test_it_starts_stops_and_starts_again_on_a_new_loop() -> None:
    root = model(run_on="thread")

    async def work() -> None:
        assert await ask(root, [1.0]) == [11.0]

    run(root, work)
    run(root, work)


def test_before_the_start_it_says_that_it_is_not_started() -> None:
    with pytest.raises(NotStarted, match="'python' is not started"):
        asyncio.run(model().predict(x([1.0])))


def test_a_user_error_of_load_is_raised_as_it_is() -> None:
    def load() -> None:
        raise SettingsError("set MLPATTERNS_THRESHOLD_X")

    async def work() -> None:
        raise AssertionError("it must not run")

    with pytest.raises(SettingsError, match="MLPATTERNS_THRESHOLD_X"):
        run(model(load=load), work)


def test_async_functions_run_on_the_loop() -> None:
    async def load() -> float:
        await asyncio.sleep(0)
        return 1.0

    async def predict(state: float, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        await asyncio.sleep(0)
        return functions.predict(state, inputs)

    root = model(predict, load)

    async def work() -> None:
        assert await ask(root, [1.0]) == [2.0]

    run(root, work)
    for run_on in ("thread", "process"):
        with pytest.raises(CompositionError, match="use run_on='loop'"):
            model(predict, run_on=run_on)


# ---- answers ----


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({}, "gave no output 'y'"),
        ({"y": np.zeros(3)}, "gave 3 rows in output 'y' for 2 rows of input"),
        ({"y": np.float32(1.0)}, "gave no batch axis in output 'y' for 2 rows"),
        ([1.0, 2.0], "did not give its outputs by name"),
        (None, "did not give its outputs by name"),
    ],
)
def test_an_answer_that_is_not_what_was_declared_is_an_internal_error_that_says_so(answer: Any, words: str) -> None:
    root = model(lambda state, inputs: answer, outputs=OUTPUTS[:1])

    async def work() -> None:
        with pytest.raises(InternalError, match=words):
            await root.predict(x([1.0], [2.0]))

    run(root, work)


def test_only_the_outputs_asked_for_are_given_and_an_unknown_one_is_refused_before_any_work() -> None:
    calls: list[int] = []

    def predict(state: float, inputs: Mapping[str, np.ndarray]) -> dict[str, Any]:
        calls.append(1)
        return {**functions.predict(state, inputs), "extra": 1}

    root = model(predict)

    async def work() -> None:
        assert list((await root.predict(x([1.0]))).outputs) == ["y", "pid"]
        assert list((await root.predict(request({"x": [[1.0]]}, outputs=("pid",)))).outputs) == ["pid"]
        with pytest.raises(InvalidInput, match="there is no output 'extra'; the model has y, pid"):
            await root.predict(request({"x": [[1.0]]}, outputs=("extra",)))

    run(root, work)
    assert len(calls) == 2


def test_lists_are_taken_as_arrays() -> None:
    root = model(lambda state, inputs: {"y": [1.0], "pid": (2,)})

    async def work() -> None:
        assert await ask(root, [1.0]) == [1.0]

    run(root, work)


def test_identity_depends_on_digest_name_and_version_and_is_none_without_a_digest() -> None:
    known = [
        model(digest="a").identity(),
        model(digest="b").identity(),
        model(digest="a", name="other").identity(),
        model(digest="a", version="2").identity(),
    ]
    assert None not in known
    assert len(set(known)) == 4
    assert model().identity() is None


SCORES = [TensorSpec("scores", "FP32", (-1, 2))]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"outputs": []}, "'python' needs outputs; declare at least one TensorSpec"),
        ({"primary_output": "z"}, "'python' has no output 'z' to be the primary one; it has y, pid"),
        ({"run_on": "moon"}, "run_on must be 'loop', 'thread' or 'process', not 'moon'"),
        ({"labels": "ab"}, "'python': labels must be a list of names, not 'ab'"),
        ({"labels": None}, "'python': labels must be a list of names, not None"),
        ({"labels": [0, 1]}, r"'python': labels must be a list of names, not \[0, 1\]"),
        ({"labels": ["a", "b", "c"], "outputs": SCORES}, "'python' has 3 labels for 2 scores in 'scores'"),
        ({"version": 2}, "'python': version must be text, not 2"),
        ({"digest": 2}, "'python': digest must be text, not 2"),
        ({"name": 5}, "5: name must be text, not 5"),
        ({"run_on": "process", "processes": "2"}, "processes must be a whole number, at least 1, not '2'"),
        ({"run_on": "process", "processes": 1.5}, "processes must be a whole number, at least 1, not 1.5"),
        ({"run_on": "process", "processes": None}, "processes must be a whole number, at least 1, not None"),
        ({"run_on": "process", "processes": True}, "processes must be a whole number, at least 1, not True"),
    ],
)
def test_what_cannot_work_is_refused_at_construction(options: dict[str, Any], words: str) -> None:
    with pytest.raises(CompositionError, match=words):
        model(**options)


def test_labels_may_be_an_array() -> None:
    labels: Any = np.array(["a", "b"])
    made = PythonModel(predict=lambda inputs: inputs, inputs=INPUTS, outputs=SCORES, labels=labels)
    assert [type(label) for label in made._described.labels] == [str, str]


# ---- time ----


@pytest.mark.parametrize("run_on", ["loop", "thread"])
def test_a_deadline_that_has_passed_means_no_work(run_on: RunOn) -> None:
    clock = FakeClock()
    root = model(lambda state, inputs: pytest.fail("it must not run"), run_on=run_on)

    async def work() -> None:
        with pytest.raises(DeadlineExceeded):
            await root.predict(request({"x": [[1.0]]}, deadline=clock.monotonic()))

    run(root, work, clock)


def test_a_call_whose_deadline_passed_while_it_waited_for_a_thread_does_not_begin() -> None:
    clock = FakeClock()
    may_end, calls = threading.Event(), list[int]()

    def predict(state: float, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        calls.append(1)
        may_end.wait(5)
        return functions.predict(state, inputs)

    root = model(predict, run_on="thread")

    async def work() -> None:
        first = asyncio.create_task(root.predict(x([1.0])))
        second = asyncio.create_task(root.predict(request({"x": [[1.0]]}, deadline=clock.monotonic() + 1.0)))
        await asyncio.sleep(0)
        await clock.advance(2.0)
        may_end.set()
        await first
        with pytest.raises(DeadlineExceeded):
            await second

    run(root, work, clock)
    assert len(calls) == 1


def test_a_cancelled_call_ends_only_when_its_thread_has() -> None:
    began, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    def predict(state: float, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        began.set()
        may_end.wait(5)
        ended.set()
        return functions.predict(state, inputs)

    root = model(predict, run_on="thread")

    async def work() -> None:
        task = asyncio.create_task(root.predict(x([1.0])))
        while not began.is_set():
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.sleep(0.001)
        assert not task.done()
        may_end.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended.is_set()

    run(root, work)


# ---- processes ----


def test_functions_that_no_other_process_can_import_are_refused_at_construction() -> None:
    def closure(state: float, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {}

    with pytest.raises(CompositionError, match="define it at the top level of a module"):
        model(closure, run_on="process")
    with pytest.raises(CompositionError, match="define it at the top level of a module"):
        model(load=lambda: 1.0, run_on="process")
    with pytest.raises(CompositionError, match="at least 1"):
        model(run_on="process", processes=0)


def test_a_child_that_dies_takes_its_own_request_only_and_is_replaced() -> None:
    root = model(functions.predict_by_command, run_on="process", processes=2)

    async def work() -> None:
        dying = asyncio.create_task(ask(root, [3.0, 0.0]))
        other = asyncio.create_task(ask(root, [4.0, 0.2]))
        with pytest.raises(Unavailable, match="the process that worked on this request died") as caught:
            await dying
        assert caught.value.retry_after == 1.0
        assert await other == [pytest.approx(14.2)]
        assert await asyncio.gather(*(ask(root, [0.0, float(i)]) for i in range(4))) == [[10.0 + i] for i in range(4)]

    run(root, work)


def test_a_child_that_died_while_idle_is_replaced_and_no_request_hears_of_it() -> None:
    root = model(run_on="process")

    async def work() -> None:
        child = await child_of(root)
        os.kill(child, signal.SIGKILL)
        await asyncio.sleep(0.2)
        assert await child_of(root) != child

    run(root, work)


def test_a_cancelled_call_keeps_its_child_until_that_is_free_and_one_who_waited_can_leave_at_once() -> None:
    root = model(functions.predict_by_command, run_on="process")

    async def work() -> None:
        began = time.monotonic()
        busy = asyncio.create_task(ask(root, [4.0, 0.3]))
        await asyncio.sleep(0.05)
        waiting = asyncio.create_task(ask(root, [0.0, 0.0]))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert not busy.done()
        busy.cancel()
        with pytest.raises(asyncio.CancelledError):
            await busy
        assert time.monotonic() - began >= 0.3  # not a speed: it cannot have ended before its work did
        assert await ask(root, [0.0, 1.0]) == [11.0]

    run(root, work)


def test_what_is_no_array_and_could_not_be_sent_back_is_an_internal_error_and_the_child_lives_on() -> None:
    root = model(functions.predict_by_command, run_on="process")

    async def work() -> None:
        with pytest.raises(InternalError, match="gave a function in output 'y'"):
            await ask(root, [5.0, 0.0])
        assert await ask(root, [0.0, 1.0]) == [11.0]

    run(root, work)


def test_a_child_that_dies_while_it_loads_fails_the_start_with_one_sentence() -> None:
    async def work() -> None:
        raise AssertionError("it must not run")

    with pytest.raises(ModelFileError, match="the model 'm' did not load: its process died"):
        run(model(load=functions.load_dies, run_on="process", name="m"), work)


def test_no_child_is_left_after_the_stop() -> None:
    root = model(run_on="process", processes=2)
    children: set[int] = set()

    async def work() -> None:
        found = await asyncio.gather(*(child_of(root) for _ in range(8)))
        children.update(found)

    run(root, work)
    assert not [child for child in children if _lives(child)]


SCRIPT = """
import asyncio
from mlpatterns.runtime import running
from unit.models.test_python import child_of, model

async def main():
    root = model(run_on="process")
    async with running(root):
        print(await child_of(root), flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


def test_children_end_with_a_parent_that_was_killed() -> None:
    tests = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(tests)}
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
    until = time.monotonic() + 10
    while _lives(child):
        assert time.monotonic() < until, f"the child {child} outlived its parent"
        time.sleep(0.01)


def _lives(pid: int) -> bool:
    """Whether `pid` runs; one that has ended and whose end nobody has asked for (a zombie) does not."""
    with suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    return False
