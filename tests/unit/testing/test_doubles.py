"""The public doubles do what their users' tests rely on."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from mlpatterns.errors import InvalidInput, NotStarted, Unavailable
from mlpatterns.predictor import Runtime
from mlpatterns.runtime import running
from mlpatterns.server.app import serve
from mlpatterns.settings import Settings
from mlpatterns.testing import CountingModel, FakeClock, FlakyModel, SlowModel, client, process, request
from mlpatterns.user_errors import MissingExtra, SettingsError, UserError

SETTINGS = Settings()

# ---- FakeClock ----


def test_the_clock_stands_still_until_it_is_advanced() -> None:
    async def main() -> None:
        clock = FakeClock(monotonic=5.0, time=100.0)
        assert (clock.monotonic(), clock.time()) == (5.0, 100.0)
        await clock.advance(2.5)
        assert (clock.monotonic(), clock.time()) == (7.5, 102.5)

    asyncio.run(main())


def test_sleepers_wake_in_order_each_at_its_own_time() -> None:
    clock, woken = FakeClock(monotonic=0.0), list[tuple[str, float]]()

    async def sleep(name: str, seconds: float, times: int = 1) -> None:
        for _ in range(times):
            await clock.sleep(seconds)
            woken.append((name, clock.monotonic()))

    async def main() -> None:
        tasks = [asyncio.create_task(work) for work in (sleep("late", 3.0), sleep("a", 1.0, 3), sleep("b", 1.0))]
        await clock.advance(0.5)
        assert woken == []
        assert clock.sleepers == 3
        await clock.advance(2.5)
        assert woken == [("a", 1.0), ("b", 1.0), ("a", 2.0), ("late", 3.0), ("a", 3.0)]
        assert clock.sleepers == 0
        await asyncio.gather(*tasks)

    asyncio.run(main())


def test_a_sleeper_that_was_cancelled_is_forgotten_and_no_sleep_at_all_only_yields() -> None:
    async def main() -> None:
        clock = FakeClock()
        task = asyncio.create_task(clock.sleep(1.0))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        await clock.advance(2.0)
        assert task.cancelled()
        await clock.sleep(0)

    asyncio.run(main())


# ---- models ----


def test_a_counting_model_sums_rows_and_counts() -> None:
    model = CountingModel(fields=("a", "b"), labels=("low",), version="3")

    async def main() -> None:
        with pytest.raises(NotStarted):
            await model.predict(request([[1.0, 2.0]]))
        async with running(model, settings=SETTINGS):
            response = await model.predict(request([[1.0, 2.0], [3.0, 4.0]]))
            assert response.outputs["probabilities"].tolist() == [[3.0], [7.0]]
            assert response.outputs["probabilities"].dtype == np.float32
            assert (model.calls, model.rows, model.running, model.most_running) == (1, 2, 0, 1)
            assert (model.starts, model.stops) == (1, 0)
            assert model.metadata.inputs[0].shape == (-1, 2)
        assert model.stops == 1

    asyncio.run(main())


@pytest.mark.parametrize("fails", [{2, 3}, lambda call: call in (2, 3)])
def test_a_flaky_model_fails_on_the_chosen_calls_with_the_chosen_error(fails: Any) -> None:
    model = FlakyModel(error=InvalidInput("no", retry_after=2.0), fails=fails)

    async def main() -> None:
        async with running(model, settings=SETTINGS):
            outcomes = await asyncio.gather(
                *(model.predict(request([[1.0]])) for _ in range(4)), return_exceptions=True
            )
        assert [isinstance(outcome, InvalidInput) for outcome in outcomes] == [False, True, True, False]
        assert outcomes[1] is not outcomes[2]

    asyncio.run(main())


def test_a_flaky_model_fails_always_and_as_unavailable_unless_told_otherwise() -> None:
    model = FlakyModel()

    async def main() -> None:
        async with running(model, settings=SETTINGS):
            with pytest.raises(Unavailable):
                await model.predict(request([[1.0]]))

    asyncio.run(main())


def test_a_slow_model_sleeps_by_the_clock_it_was_given() -> None:
    clock, model = FakeClock(), SlowModel(seconds=10.0)

    async def main() -> None:
        async with running(model, settings=SETTINGS, clock=clock):
            task = asyncio.create_task(model.predict(request([[1.0]])))
            await clock.advance(9.9)
            assert not task.done()
            await clock.advance(0.1)
            assert (await task).outputs

    asyncio.run(main())


def test_a_blocking_slow_model_cannot_be_interrupted() -> None:
    model = SlowModel(seconds=0.02, blocking=True)

    async def main() -> None:
        async with running(model, settings=SETTINGS):
            began = time.monotonic()
            task = asyncio.create_task(model.predict(request([[1.0]])))
            await asyncio.sleep(0.005)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert time.monotonic() - began >= 0.02
            assert model.cancelled == 1

    asyncio.run(main())


def test_a_request_takes_rows_lists_and_arrays() -> None:
    assert request([[1, 2]]).inputs["input"].dtype == np.float32
    asked = request({"a": [b"x"], "b": np.array([1], np.int64)}, headers={"user-id": "u"}, id="7", deadline=1.0)
    assert (asked.inputs["a"].dtype, asked.inputs["b"].dtype) == (np.dtype(object), np.dtype(np.int64))
    assert (asked.context.headers, asked.id, asked.deadline) == ({"user-id": "u"}, "7", 1.0)
    assert request([[1]]).context.prediction_id != request([[1]]).context.prediction_id


# ---- client ----


@pytest.mark.parametrize("kind", ["predictor", "mapping", "build", "app", "asgi"])
def test_a_client_serves_whatever_it_is_given_and_stops_it_at_the_end(kind: str) -> None:
    model = CountingModel("m")
    app = serve(lambda: model, settings=SETTINGS)

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)

    served: dict[str, Any] = {
        "predictor": model, "mapping": {"m": model}, "build": lambda: model, "app": app, "asgi": asgi
    }  # fmt: skip
    options: Mapping[str, Any] = {} if kind in ("app", "asgi") else {"settings": SETTINGS}

    async def main() -> None:
        async with client(served[kind], **options) as http:
            assert (await http.get("/health/live")).status_code == 200
            assert (model.starts, model.stops) == (1, 0)
        assert (model.starts, model.stops) == (1, 1)

    asyncio.run(main())


class Unstartable(CountingModel):
    async def start(self, runtime: Runtime) -> None:
        raise SettingsError("set MLPATTERNS_THRESHOLD_X first")


def test_a_start_that_fails_raises_its_sentence() -> None:
    async def main() -> None:
        async with client(Unstartable(), settings=SETTINGS):
            raise AssertionError("it must not run")

    with pytest.raises(UserError, match="set MLPATTERNS_THRESHOLD_X first"):
        asyncio.run(main())


def test_an_app_that_raises_in_its_start_raises_that() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        raise ValueError("in the lifespan")

    async def main() -> None:
        async with client(app):
            raise AssertionError("it must not run")

    with pytest.raises(ValueError, match="in the lifespan"):
        asyncio.run(main())


def test_an_error_of_the_body_stops_the_app_and_is_raised() -> None:
    model = CountingModel()

    async def main() -> None:
        async with client(model, settings=SETTINGS):
            raise ValueError("from the body")

    with pytest.raises(ValueError, match="from the body"):
        asyncio.run(main())
    assert (model.starts, model.stops) == (1, 1)


def test_without_httpx_the_sentence_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx", None)

    async def main() -> None:
        async with client(CountingModel()):
            raise AssertionError("it must not run")

    with pytest.raises(MissingExtra, match=r"mlpatterns\[test\]"):
        asyncio.run(main())


def test_without_httpx_a_server_process_is_not_even_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx", None)

    async def main() -> None:
        async with process("web_single"):
            raise AssertionError("it must not run")

    with pytest.raises(MissingExtra, match=r"mlpatterns\[test\]"):
        asyncio.run(main())
