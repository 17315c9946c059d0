"""What an app turns out to be: found by asking it, so that its tests promise no more than holds."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

import odd_models
from mlpatterns import Answers, JobQueue, NotStarted, OnnxModel, PredictionLog, Retry, serve
from mlpatterns.metadata import ModelMetadata
from mlpatterns.predictor import InferenceRequest, InferenceResponse
from mlpatterns.scaffold.facts import ServedFacts, facts_of, load_app
from mlpatterns.scaffold.project import PARTS
from mlpatterns.server.app import App
from mlpatterns.testing import CountingModel, FlakyModel
from mlpatterns.user_errors import NotOffered, UserError


def facts(app: App) -> dict[str, ServedFacts]:
    return {fact.name: fact for fact in asyncio.run(facts_of(app))}


def promises(fact: ServedFacts) -> str:
    return " ".join(part for part in PARTS if getattr(fact, part))


def of(path: Path, make: odd_models.Make) -> str:
    labels = make(path)
    return promises(facts(serve(lambda: OnnxModel(f"file:{path}", labels=labels)))["odd"])


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (odd_models.texts, "answers simple sample plain rows labelled"),
        (odd_models.picture, "answers simple sample plain labelled"),
        (odd_models.integers, "answers simple sample plain rows"),
        (odd_models.sequence, "answers simple sample plain"),
        (odd_models.vector, "answers simple sample plain"),
        (odd_models.two_inputs, "answers"),
        (odd_models.columns_of_texts, "answers"),
        (odd_models.scalar, "answers"),
        (odd_models.no_number, "simple"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_each_kind_of_model_is_known_for_what_it_can(tmp_path: Path, make: odd_models.Make, expected: str) -> None:
    assert of(tmp_path / "odd.onnx", make) == expected


class FirstRowOnly(CountingModel):
    def answer(self, request: InferenceRequest) -> InferenceResponse:
        rows = np.asarray(next(iter(request.inputs.values())))
        return InferenceResponse({"probabilities": np.repeat(rows[:1, :1], len(rows), axis=0)}, self.name, "1")


def test_several_rows_that_get_the_answer_of_the_first_are_noticed() -> None:
    assert facts(serve(lambda: CountingModel(fields=("a",))))["counting"].rows
    assert not facts(serve(lambda: FirstRowOnly(fields=("a",))))["counting"].rows


def test_an_answer_of_another_shape_is_not_plain() -> None:
    fact = facts(serve(CountingModel, answers=Answers(predict=lambda response, context: [1])))["counting"]
    assert promises(fact) == "answers simple sample"
    labelled = serve(lambda: CountingModel(labels=("a",)), answers=Answers(label=lambda response, context: [1]))
    assert promises(facts(labelled)["counting"]) == "answers simple sample plain rows"
    assert facts(serve(lambda: CountingModel(labels=("a",))))["counting"].labelled


def test_a_model_that_refuses_its_sample_promises_little() -> None:
    assert promises(facts(serve(FlakyModel))["flaky"]) == "simple"


class Accepting(CountingModel):
    def answer(self, request: InferenceRequest) -> InferenceResponse:
        return InferenceResponse({}, self.name, "1", status="accepted")


def test_a_job_that_is_accepted_is_no_answer() -> None:
    assert promises(facts(serve(Accepting))["counting"]) == "simple"


class DescribedLater(CountingModel):
    """It has metadata only some time after its start, as a JobQueue whose worker has not reported yet."""

    asked = 0

    @property
    def metadata(self) -> ModelMetadata:
        self.asked += 1
        if self.asked < 50:
            raise NotStarted(self.name, "it is not described yet")
        return super().metadata


def test_an_app_is_asked_once_all_its_pieces_are_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    ready = "answers simple sample plain rows labelled"
    assert promises(facts(serve(lambda: DescribedLater(labels=("a",))))["counting"]) == ready
    assert promises(facts(serve(lambda: Retry(DescribedLater(labels=("a",)))))["counting"]) == ready
    monkeypatch.setattr("mlpatterns.scaffold.facts.PATIENCE", 0.01)
    with pytest.raises(UserError, match=r"counting was not ready within 0\.01 s: .*it is not described yet"):
        facts(serve(DescribedLater))


def test_what_is_asked_to_find_them_reaches_no_store_of_the_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job or a record in the log would look like a user's; a parameter that was set would change the facts."""
    monkeypatch.setenv("MLPATTERNS_HOME", str(tmp_path / "home"))
    assert promises(facts(serve(lambda: JobQueue(PredictionLog(CountingModel()))))["counting"]) == "simple"
    assert not (tmp_path / "home").exists()


def test_each_of_several_models_is_looked_at() -> None:
    found = facts(serve(lambda: {"one": CountingModel("one"), "two": CountingModel("two", labels=("a",))}))
    assert {name: fact.labelled for name, fact in found.items()} == {"one": False, "two": True}


def test_an_app_that_still_needs_a_registry_is_refused(tmp_path: Path) -> None:
    text = "from mlpatterns import Answers, OnnxModel, serve\napp = serve(lambda: OnnxModel('iris'))\n"
    (tmp_path / "app.py").write_text(text)
    with pytest.raises(NotOffered, match="names iris@champion in a way that cannot be replaced by a file"):
        load_app(tmp_path / "app.py")
