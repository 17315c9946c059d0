"""Thresholds: who is asked, what the answer is, and how commands change it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from core import CALLER, noted
from mlpatterns import PredictionCache, Predictor, Thresholds
from mlpatterns.errors import Conflict, DeadlineExceeded, InternalError, InvalidInput, NotStarted, Unavailable
from mlpatterns.interfaces import ControlStore
from mlpatterns.metadata import ModelMetadata
from mlpatterns.metrics import ProcessMetrics
from mlpatterns.pieces.thresholds.parameters import SetParameters
from mlpatterns.predictor import InferenceRequest, InferenceResponse
from mlpatterns.runtime import running
from mlpatterns.settings import Settings
from mlpatterns.stores import open_store
from mlpatterns.testing import CountingModel, FlakyModel, SlowModel, client, request
from mlpatterns.user_errors import CompositionError, SettingsError


def run(root: Predictor, work: Callable[[], Awaitable[None]], control: str = "memory://", **settings: Any) -> None:
    async def main() -> None:
        given = Settings(control=control, **settings)
        async with running(root, settings=given, metrics=ProcessMetrics()):
            await work()

    asyncio.run(main())


def two(**options: Any) -> Thresholds:
    parts = {"a": CountingModel("a", digest="a"), "b": CountingModel("b", digest="b")}
    return Thresholds(parts, **({"thresholds": {"a": 0.5, "b": 0.7}} | options))


async def tell(piece: Thresholds, **told: Any) -> Any:
    return await piece.parameters._set(SetParameters(**told), CALLER)


async def decided(piece: Thresholds, *rows: float) -> Any:
    return (await piece.predict(request([[row] for row in rows]))).outputs["decisions"].tolist()


def test_each_part_says_1_from_its_threshold_on() -> None:
    piece = two()

    async def work() -> None:
        answer = await piece.predict(request([[0.4], [0.5], [0.75]]))
        assert answer.outputs["decisions"].tolist() == [[0, 0], [1, 0], [1, 1]]
        assert answer.outputs["decisions"].dtype == np.int64
        assert answer.outputs["scores"].tolist() == [[0.4000000059604645] * 2, [0.5, 0.5], [0.75, 0.75]]
        assert [spec.fields for spec in piece.metadata.outputs] == [("a", "b"), ("a", "b")]

    run(piece, work)


def test_a_part_without_a_threshold_has_the_settings_default() -> None:
    piece = two(thresholds={"a": 0.5})

    async def work() -> None:
        assert await decided(piece, 0.9, 0.96) == [[1, 0], [1, 1]]

    run(piece, work)


@pytest.mark.parametrize("default", [1.5, float("nan")])
def test_a_default_that_is_no_threshold_is_refused_at_the_start(default: float) -> None:
    async def work() -> None:
        raise AssertionError("it must not run")

    with pytest.raises(SettingsError, match="default_threshold"):
        run(two(), work, default_threshold=default)


def test_a_part_that_is_not_active_is_not_asked() -> None:
    piece = two(active={"b": False})
    other = piece.children["b"]
    assert isinstance(other, CountingModel)

    async def work() -> None:
        answer = await piece.predict(request([[0.6]]))
        assert answer.outputs["decisions"].tolist() == [[1, -1]]
        assert answer.outputs["scores"].tolist()[0][1] == -1
        assert other.calls == 0
        await tell(piece, active={"a": False})
        assert await decided(piece, 0.6) == [[-1, -1]]

    run(piece, work)


def test_a_part_that_is_away_matters_only_while_it_is_active() -> None:
    from mlpatterns import Health

    class Ill(CountingModel):
        def health(self) -> Health:
            return Health(False, "it is ill")

        async def check(self) -> Health:
            return self.health()

    piece = Thresholds({"a": CountingModel("a"), "b": Ill("b")}, active={"b": False})

    async def work() -> None:
        assert piece.health().ready
        assert "it is ill" in piece.health().reason
        assert await piece._health(None, CALLER) == {"a": "ok", "b": "ng"}
        await tell(piece, active={"b": True})
        assert not piece.health().ready

    run(piece, work)


def test_commands_change_it_and_can_be_undone_and_forgotten() -> None:
    piece = two()

    async def work() -> None:
        state = await tell(piece, thresholds={"a": 0.1})
        assert (state.revision, state.by, state.thresholds) == (1, "ann", {"a": 0.1, "b": 0.7})
        await tell(piece, thresholds={"b": 0.1})
        assert await decided(piece, 0.2) == [[1, 1]]
        await piece.parameters._undo(None, CALLER)
        assert await decided(piece, 0.2) == [[1, 0]]
        state = await piece.parameters._reset(None, CALLER)
        assert (state.thresholds, state.start.thresholds) == ({"a": 0.5, "b": 0.7},) * 2
        assert await decided(piece, 0.2) == [[0, 0]]

    run(piece, work)


def test_a_wrong_command_changes_nothing() -> None:
    piece = two()

    async def work() -> None:
        with pytest.raises(InvalidInput):
            await tell(piece, thresholds={"a": 0.1, "c": 0.1})
        assert (await piece.parameters._state(None, CALLER)).revision == 0
        with pytest.raises(Conflict):
            await piece.parameters._undo(None, CALLER)

    run(piece, work)


def test_it_can_be_stopped() -> None:
    piece = two()

    async def work() -> None:
        await tell(piece, stopped=True)
        with pytest.raises(Unavailable, match="stopped by a command") as caught:
            await decided(piece, 0.5)
        assert caught.value.retry_after == 5
        assert piece.health().ready
        assert "a command has stopped it" in piece.health().reason
        await tell(piece, stopped=False)
        assert await decided(piece, 0.5) == [[1, 0]]

    run(piece, work)


def test_timeout_and_retries_are_parameters_too() -> None:
    slow = SlowModel("a", seconds=60)
    piece = Thresholds({"a": slow}, timeout=0.02)

    async def work() -> None:
        with pytest.raises(DeadlineExceeded, match=r"'a'.*within 0\.02 s"):
            await decided(piece, 0.5)
        slow.seconds = 0.0
        await tell(piece, timeout=0)
        await decided(piece, 0.5)

    run(piece, work)


def test_a_part_that_is_unavailable_is_asked_again_as_often_as_the_parameter_says() -> None:
    flaky = FlakyModel("a", fails=[1, 2, 3])
    piece = Thresholds({"a": flaky}, thresholds={"a": 0.5})

    async def work() -> None:
        with pytest.raises(Unavailable):
            await decided(piece, 0.5)
        await tell(piece, retries=2)
        asked = request([[0.5]])
        await piece.predict(asked)
        assert flaky.calls == 4
        assert noted(asked.context, "retries") == 2

    run(piece, work)


def test_what_was_set_outlives_a_restart_and_a_start_with_other_values_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    control, piece = f"sqlite:///{tmp_path}/control.db", two()

    async def change() -> None:
        await tell(piece, thresholds={"a": 0.1})

    async def unchanged() -> None:
        assert await decided(piece, 0.2) == [[1, 0]]
        assert piece.health().reason == ""

    async def differs() -> None:
        assert await decided(piece, 0.2) == [[1, 0]]
        sentence = "threshold of a starts as 0.3, a command replaced 0.5 by 0.1, now in force"
        assert piece.health().ready
        assert piece.health().reason == sentence
        assert (await piece.parameters._state(None, CALLER)).warnings == [sentence]
        assert f"thresholds: {sentence}" in caplog.text
        await tell(piece, retries=1)  # says nothing about the threshold, which still starts otherwise
        assert piece.health().reason == sentence
        await tell(piece, thresholds={"a": 0.1})  # who gives a command about it has dealt with it
        assert piece.health().reason == ""

    run(piece, change, control)
    run(piece, unchanged, control)
    monkeypatch.setenv("MLPATTERNS_THRESHOLD_A", "0.3")
    with caplog.at_level(logging.WARNING):
        run(piece, differs, control)


def test_what_somebody_else_wrote_into_the_store_and_cannot_be_used_changes_nothing(tmp_path: Path) -> None:
    control, piece = f"sqlite:///{tmp_path}/control.db", two()
    wrong = {"values": {"thresholds": {"a": 7.0}, "active": {}}, "replaced": None}

    async def write() -> None:
        store = await open_store(ControlStore, control)  # type: ignore[type-abstract]
        await store.put("thresholds/parameters", wrong, expected=None, by="somebody")
        await store.close()

    async def work() -> None:
        assert await decided(piece, 0.6) == [[1, 0]]
        assert piece.health().ready
        assert "cannot be used, and others hold: the threshold of 'a'" in piece.health().reason
        await piece.parameters._reset(None, CALLER)
        assert piece.health().reason == ""

    asyncio.run(write())
    run(piece, work, control)


class Late(CountingModel):
    """A remote part that is described once it has answered, with its score in the second of two outputs."""

    def describe(self, context: Any = None) -> ModelMetadata:
        if not self.calls:
            raise NotStarted(self.name)
        whole = super().describe(context)
        return replace(whole, outputs=(replace(whole.outputs[0], name="other"), whole.outputs[0]))

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        answer = await super().predict(request)
        scores = answer.outputs["probabilities"]
        both = {"other": scores + 1, "probabilities": scores}
        return replace(answer, outputs={name: both[name] for name in request.outputs or both})


def test_the_score_of_a_part_that_was_not_described_yet_is_of_its_primary_output() -> None:
    piece = Thresholds({"a": Late("a")}, thresholds={"a": 0.5})

    async def work() -> None:
        assert await decided(piece, 0.4, 0.6) == [[0], [1]]
        assert await decided(piece, 0.4, 0.6) == [[0], [1]]

    run(piece, work)


def test_a_score_may_be_made_by_a_function() -> None:
    piece = two(score=lambda answer: 1 - answer.outputs["probabilities"][:, 0], digest="from below")

    async def work() -> None:
        assert await decided(piece, 0.2, 0.4, 0.6) == [[1, 1], [1, 0], [0, 0]]
        assert piece.identity() is not None

    run(piece, work)
    assert two(score=lambda answer: answer.outputs["probabilities"]).identity() is None


@pytest.mark.parametrize("score", [lambda answer: 1 / 0, lambda answer: [1.0, 2.0], lambda answer: exit()])
def test_a_score_that_fails_is_an_internal_error_that_names_the_part(score: Any) -> None:
    piece = two(score=score)

    async def work() -> None:
        with pytest.raises(InternalError, match="'a'"):
            await decided(piece, 0.2)

    run(piece, work)


def test_a_cache_around_it_never_answers_for_other_parameters() -> None:
    piece = two()
    cache = PredictionCache(piece)

    async def work() -> None:
        states = []
        for told in ({}, {}, {"thresholds": {"a": 0.1}}, {"active": {"b": False}}, {"retries": 3}):
            await tell(piece, **told)
            asked = request([[0.2]])
            await cache.predict(asked)
            states.append(noted(asked.context, "cache"))
        assert states == ["miss", "hit", "miss", "miss", "hit"]  # retries decide no answer

    run(cache, work)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"thresholds": {"c": 0.5}}, "there is no part 'c'"),
        ({"thresholds": {"a": 2}}, "must be from 0 to 1"),
        ({"timeout": -1.0}, "timeout"),
        ({"primary_output": "x"}, "primary_output"),
    ],
)
def test_what_does_not_fit_is_refused(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(CompositionError, match=sentence):
        two(**options)


def test_without_parts_it_is_refused() -> None:
    with pytest.raises(CompositionError, match="at least one part"):
        Thresholds({})


def test_an_output_that_there_is_not_is_the_callers_mistake() -> None:
    piece = two()

    async def work() -> None:
        with pytest.raises(InvalidInput, match="there is no output 'x'"):
            await piece.predict(request([[1.0]], outputs=("x",)))

    run(piece, work)


def test_over_http_all_may_read_and_the_token_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLPATTERNS_ADMIN_TOKEN", "admin-token-of-a-test")
    monkeypatch.setenv("MLPATTERNS_CONTROL", "memory://")
    token = {"authorization": "Bearer admin-token-of-a-test"}

    async def work() -> None:
        async with client(two()) as http:
            assert (await http.get("/parameters")).json()["thresholds"] == {"a": 0.5, "b": 0.7}
            assert (await http.get("/health/all")).json() == {"a": "ok", "b": "ok"}
            for path in ("/parameters", "/parameters/reset", "/parameters/undo"):
                assert (await http.post(path, json={})).status_code == 401
            for body in (
                b"[]",
                b'{"x": 1}',
                b'{"thresholds": {"a": "high"}}',
                b'{"thresholds": {"a": 2}}',
                b"{",
                b'{"active": {"a": 1}}',
            ):
                wrong = await http.post("/parameters", content=body, headers=token)
                assert (wrong.status_code, list(wrong.json())) == (400, ["error"])
            changed = await http.post("/parameters", json={"thresholds": {"a": 0.1}}, headers=token)
            assert changed.json()["thresholds"] == {"a": 0.1, "b": 0.7}
            assert (await http.post("/parameters/undo", headers=token)).json()["thresholds"]["a"] == 0.5
            infer = {"inputs": [{"name": "input", "shape": [1, 1], "datatype": "FP32", "data": [0.6]}]}
            answer = (await http.post("/v2/models/thresholds/infer", json=infer)).json()
            assert {one["name"]: one["data"] for one in answer["outputs"]}["decisions"] == [1, 0]

    asyncio.run(work())
