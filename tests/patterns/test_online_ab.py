"""online_ab: its demo holds on the real models, and each claim fails where a split does not keep it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import NoneType
from typing import Any

import pytest
from msgspec.structs import replace

from mlpatterns import Experiment, InferenceRequest, InferenceResponse, Metric, Operation, Predictor, Runtime, Split
from mlpatterns.analysis import experiment
from mlpatterns.cli import main
from mlpatterns.patterns.management import online_ab
from mlpatterns.pieces.split.buckets import unit_of
from mlpatterns.stores.log import LogStore
from mlpatterns.testing import client

MODE, ANEW, KEEPS, SHARE, MOVED, UNDO, BETTER = (
    "`mode` is the model that answered",
    "a request without a user is drawn anew each time",
    "a user keeps the model, in every replica",
    "60 of 100 users meet the one model",
    "new weights move what the arm that grows takes, no more",
    "an undo brings back all who were moved",
    "what users did tells which model is better",
)


@pytest.fixture(autouse=True)
def home(trained_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLPATTERNS_HOME", str(trained_home))
    for store in ("CONTROL", "LOG"):
        monkeypatch.setenv(f"MLPATTERNS_{store}", "memory://")
    for name, number in (("USERS", 120), ("NOBODY", 40), ("CHANCE", 3.0)):
        monkeypatch.setattr(online_ab, name, number)
    monkeypatch.setattr(experiment, "MIN_USERS", 30)


class Drawing(Split):
    """As the book's: every request is drawn, whoever asks."""

    def _key(self, context: Any) -> None:
        return None


class Settled(Split):
    """Who says nothing of himself is one user too."""

    def _key(self, context: Any) -> str:
        return context.headers.get("user-id") or "nobody"


class Crossed(Split):
    """Takes one arm's weight for the other's."""

    def __init__(self, arms: Any, *, weights: Any, **options: Any) -> None:
        crossed = dict(zip(weights, reversed(weights.values()), strict=True))
        super().__init__(arms, weights=crossed, **options)


class Mistaken(Split):
    """Says that the other model has answered."""

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        answer = await super().predict(request)
        others = [arm.metadata for arm in self.children.values() if arm.metadata is not answer.described]
        return replace(answer, described=others[0])


class Shuffling(Split):
    """A change of the weights deals all users anew."""

    def _of(self, unit: str | None) -> str:
        revision = self.weights.table().document.value.weights
        return super()._of(unit and unit_of(str(revision), unit))


class Lonely(Split):
    """Each replica hashes in its own way."""

    replicas = 0

    async def start(self, runtime: Runtime) -> None:
        await super().start(runtime)
        Lonely.replicas += 1
        self._salt = f"{Lonely.replicas % 2}"


class Final(Split):
    """What was told stays told."""

    def __init__(self, arms: Any, **options: Any) -> None:
        super().__init__(arms, **options)
        asks, *others = self.operations
        self.operations = (asks, *[one for one in others if one.name != "weights/undo"],
                           Operation("weights/undo", "command", "token", NoneType, Any, asks.handler))  # fmt: skip


class Backwards(Experiment):
    """Takes the worse for the better."""

    def __init__(self, predictor: Predictor, *metrics: Metric, **options: Any) -> None:
        super().__init__(predictor, *[replace(metric, better="lower") for metric in metrics], **options)


class Deaf(Experiment):
    """What users did does not reach it."""

    async def start(self, runtime: Runtime) -> None:
        await super().start(runtime)
        self._store = await runtime.store(LogStore, "memory://?max_records=1")  # type: ignore[type-abstract]


def failing(piece: Callable[..., Predictor], monkeypatch: pytest.MonkeyPatch) -> set[str]:
    name = "Experiment" if piece in (Backwards, Deaf) else "Split"
    monkeypatch.setattr(online_ab, name, piece)

    async def ask() -> set[str]:
        async with client(online_ab.app) as http:
            return {row.claim for row in (await online_ab.demo(http)).rows if not row.holds}

    return asyncio.run(ask())


def test_every_claim_holds_and_the_command_exits_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "online_ab"]) == 0
    out = capsys.readouterr().out
    assert all(claim in out for claim in (MODE, ANEW, KEEPS, SHARE, MOVED, UNDO))


def test_without_stickiness_the_command_exits_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(online_ab, "Split", Drawing)
    assert main(["demo", "online_ab"]) == 1
    assert "fail" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("split", "claims"),
    [
        (Drawing, {KEEPS, MOVED, UNDO, BETTER}),
        (Settled, {ANEW}),
        (Crossed, {SHARE, MOVED}),
        (Mistaken, {MODE, SHARE, MOVED, BETTER}),
        (Shuffling, {MOVED}),
        (Lonely, {KEEPS}),
        (Final, {UNDO}),
        (Backwards, {BETTER}),
        (Deaf, {BETTER}),
    ],
)
def test_each_claim_fails_where_a_split_does_not_keep_it(
    split: Callable[..., Predictor], claims: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert failing(split, monkeypatch) == claims


def test_the_four_prediction_routes_answer_as_in_the_book_and_carry_mode_and_no_other_does() -> None:
    rows = {"data": [[5.1, 3.5, 1.4, 0.2]]}
    arms = {online_ab.SVC: [0.9679248332977295, 0.02890644036233425, 0.0031687209848314524], online_ab.RF: None}

    async def work() -> None:
        async with client(online_ab.app) as http:
            seen = set()
            for user in range(20):
                headers = {"user-id": str(user)}
                whole = (await http.post("/predict", json=rows, headers=headers)).json()
                assert set(whole) == {"prediction", "mode"}
                assert len(whole["prediction"]) == 3
                expected = arms[whole["mode"]]
                assert expected is None or whole["prediction"] == pytest.approx(expected, abs=1e-5)
                seen.add(whole["mode"])
                label = (await http.post("/predict/label", json=rows, headers=headers)).json()
                assert label == {"prediction": "setosa", "mode": whole["mode"]}
                assert (await http.get("/predict/test", headers=headers)).json()["mode"] == whole["mode"]
                tested = (await http.get("/predict/test/label", headers=headers)).json()
                assert tested == {"prediction": "setosa", "mode": whole["mode"]}
            assert seen == {online_ab.SVC, online_ab.RF}
            two = (await http.post("/predict/label", json={"data": rows["data"] * 2})).json()
            assert two["prediction"] == ["setosa", "setosa"]
            assert (await http.get("/health")).json() == {"health": "ok"}
            assert (await http.get("/label")).json() == {"0": "setosa", "1": "versicolor", "2": "virginica"}
            assert "mode" not in (await http.get("/metadata")).json()
            wrong = await http.post("/predict", json={"data": [[1.0]]})
            assert (wrong.status_code, set(wrong.json())) == (400, {"error"})

    asyncio.run(work())
