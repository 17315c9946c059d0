"""horizontal_microservice: its demo holds, its answers are the book's, and each claim fails where it is not kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from mlpatterns import (
    Answers,
    App,
    Context,
    FanOut,
    Health,
    InferenceRequest,
    InferenceResponse,
    Predictor,
    PythonModel,
    TensorSpec,
    Unavailable,
    serve,
)
from mlpatterns.cli import main
from mlpatterns.patterns.serving import horizontal_microservice as pattern
from mlpatterns.testing import client

KNOWS, ACCURACY, SAME, NAMED, BACK = (
    "each part knows its own species, and says so first",
    "accuracy of the most probable on all 150 flowers",
    "four processes answer as one does, for all 150 flowers",
    "a killed part is named: by a 503, by /health/all",
    "when that part is back, so are its answers",
)
CENTRES = {"setosa": 0.25, "versicolor": 1.33, "virginica": 2.03}  # of the petal's width
ROW, THREE = [[5.1, 3.5, 1.4, 0.2]], [[5.1, 3.5, 1.4, 0.2], [6.0, 2.9, 4.5, 1.5], [6.3, 3.3, 6.0, 2.5]]


class Part(PythonModel):
    """A model that knows a species by its petal's width. Beside predicting it can be down, and turned round."""

    def __init__(self, species: str, *, turned: bool = False) -> None:
        def predict(_: None, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
            own = np.exp(-2 * np.abs(inputs["input"][:, 3] - CENTRES[species]))
            both = np.stack([own, 1 - own], axis=1).astype(np.float32)
            return {"probabilities": both[:, ::-1] if turned else both}

        super().__init__(
            lambda: None, predict, name=species, inputs=[TensorSpec("input", "FP32", (-1, 4))],
            outputs=[TensorSpec("probabilities", "FP32", (-1, 2))], sample={"input": np.array(ROW, np.float32)},
        )  # fmt: skip
        self.down = False

    async def check(self) -> Health:
        return Health(False, f"{self.name} is down") if self.down else await super().check()

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        if self.down:
            raise Unavailable("it is down")
        return await super().predict(request)


class Processes:
    """In the place of `mlpatterns.testing.process`: the same app, in this process, on parts that can be killed."""

    def __init__(self, whole: Callable[[dict[str, Part]], App], *, deaf: bool = False, gone: bool = False) -> None:
        self.parts = {species: Part(species) for species in pattern.PARTS}
        self.app, self.deaf, self.gone = whole(self.parts), deaf, gone

    @asynccontextmanager
    async def __call__(self, target: str, *, service: str = "", port: int = 1, **_: Any) -> AsyncIterator[Any]:
        async with client(self.app) as http:
            yield Double(self, service, http)


class Double:
    def __init__(self, processes: Processes, service: str, http: httpx.AsyncClient) -> None:
        self.url, self.port, self.http = "http://part", 1, http
        self._processes, self._service = processes, service
        if service and not processes.gone:
            processes.parts[service].down = False

    async def stop(self, number: int) -> None:
        self._processes.parts[self._service].down = not self._processes.deaf


def whole(parts: Mapping[str, Predictor], **options: Any) -> App:
    outputs = [TensorSpec("probabilities", "FP32", (-1, 3, 2))]
    combined = FanOut(parts, combine=pattern.side_by_side, outputs=outputs, labels=pattern.PARTS, **options)
    return serve(lambda: combined, answers=Answers(predict=pattern.by_part, label=pattern.most_probable))


def failing(monkeypatch: pytest.MonkeyPatch, served: App | None = None, processes: Processes | None = None) -> set[str]:
    monkeypatch.setattr(pattern, "process", processes or Processes(whole))

    async def ask() -> set[str]:
        async with client(served or whole({species: Part(species) for species in pattern.PARTS})) as http:
            return {row.claim for row in (await pattern.demo(http)).rows if not row.holds}

    return asyncio.run(ask())


# ---- the demo ----


@pytest.mark.slow
def test_every_claim_holds_with_real_processes_and_the_command_exits_0(
    trained_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLPATTERNS_HOME", str(trained_home))
    assert main(["demo", "horizontal_microservice"]) == 0
    out = capsys.readouterr().out
    assert [claim for claim in (KNOWS, ACCURACY, SAME, NAMED, BACK) if claim not in out] == []
    assert out.endswith("horizontal_microservice: all 5 claims hold\n")


def test_the_demo_holds_for_any_right_parts_in_the_place_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert failing(monkeypatch) == set()


def test_parts_whose_own_species_comes_last_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    turned = {species: Part(species, turned=True) for species in pattern.PARTS}
    assert failing(monkeypatch, whole(turned), Processes(lambda parts: whole(turned_too(parts)))) >= {KNOWS, ACCURACY}


def turned_too(parts: dict[str, Part]) -> dict[str, Part]:
    parts |= {species: Part(species, turned=True) for species in parts}
    return parts


def test_labels_that_are_not_the_most_probable_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    def first(response: InferenceResponse, context: Context) -> Any:
        return {"prediction": [{"proba": 1.0, "label": "setosa"}] * len(response.outputs["probabilities"])}

    parts = {species: Part(species) for species in pattern.PARTS}
    outputs = [TensorSpec("probabilities", "FP32", (-1, 3, 2))]
    served = serve(
        lambda: FanOut(parts, combine=pattern.side_by_side, outputs=outputs),
        answers=Answers(predict=pattern.by_part, label=first),
    )  # fmt: skip
    assert failing(monkeypatch, served) == {ACCURACY}


def test_processes_that_answer_otherwise_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    def off(answers: Mapping[str, InferenceResponse]) -> dict[str, Any]:
        return {"probabilities": pattern.side_by_side(answers)["probabilities"] + np.float32(0.01)}

    def otherwise(parts: Mapping[str, Predictor]) -> App:
        outputs = [TensorSpec("probabilities", "FP32", (-1, 3, 2))]
        return serve(lambda: FanOut(parts, combine=off, outputs=outputs), answers=Answers(predict=pattern.by_part))

    assert failing(monkeypatch, processes=Processes(otherwise)) == {SAME, BACK}


def test_a_part_that_is_missed_by_nobody_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    assert failing(monkeypatch, processes=Processes(whole, deaf=True)) == {NAMED}


def test_a_front_that_does_not_say_which_part_is_down_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    class Nameless(FanOut):
        async def predict(self, request: InferenceRequest) -> InferenceResponse:
            try:
                return await super().predict(request)
            except Unavailable:
                raise Unavailable("something is down") from None

    def nameless(parts: Mapping[str, Predictor]) -> App:
        outputs = [TensorSpec("probabilities", "FP32", (-1, 3, 2))]
        combined = Nameless(parts, combine=pattern.side_by_side, outputs=outputs)
        return serve(lambda: combined, answers=Answers(predict=pattern.by_part))

    assert failing(monkeypatch, processes=Processes(nameless)) == {NAMED}


def test_a_part_that_does_not_come_back_breaks_the_demo_off(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RuntimeError, match=r"503.*virginica"):
        failing(monkeypatch, processes=Processes(whole, gone=True))


# ---- the book's answers ----


def ask(method: str, path: str, body: Any = None) -> Any:
    async def main() -> Any:
        async with client(pattern.app) as http:
            answer = await http.request(method, path, json=body)
            assert answer.status_code == 200, answer.text
            return answer.json()

    return asyncio.run(main())


@pytest.fixture
def trained(trained_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLPATTERNS_HOME", str(trained_home))


@pytest.mark.usefixtures("trained")
@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/predict"), ("GET", "/predict/test"), ("GET", "/predict/get/test"), ("GET", "/predict/post/test")],
)
def test_one_row_gets_the_two_probabilities_of_each_part_its_own_first(method: str, path: str) -> None:
    answer = ask(method, path, {"data": ROW} if method == "POST" else None)
    assert list(answer) == ["setosa", "versicolor", "virginica"]
    for part, found in answer.items():
        own, others = found["prediction"]
        assert own + others == pytest.approx(1, abs=1e-6)
        assert (own > 0.9) == (part == "setosa")


@pytest.mark.usefixtures("trained")
def test_several_rows_get_a_list_a_part_and_a_label_each() -> None:
    answer = ask("POST", "/predict", {"data": THREE})
    alone = [ask("POST", "/predict", {"data": [row]}) for row in THREE]
    for part, found in answer.items():
        np.testing.assert_allclose(found["prediction"], [one[part]["prediction"] for one in alone], atol=1e-6)
    labels = ask("POST", "/predict/label", {"data": THREE})["prediction"]
    assert [one["label"] for one in labels] == ["setosa", "versicolor", "virginica"]
    for one, row in zip(labels, range(3), strict=True):
        assert one["proba"] == pytest.approx(max(found["prediction"][row][0] for found in answer.values()))


@pytest.mark.usefixtures("trained")
def test_the_other_routes_are_the_books_too() -> None:
    label = ask("POST", "/predict/label", {"data": ROW})["prediction"]
    assert (set(label), label["label"]) == ({"proba", "label"}, "setosa")
    assert ask("GET", "/predict/test/label") == {"prediction": label}
    assert ask("GET", "/health/all") == {part: {"health": "ok"} for part in pattern.PARTS}
    assert ask("GET", "/label") == {"0": "setosa", "1": "versicolor", "2": "virginica"}
    described = ask("GET", "/metadata")
    assert (described["data_structure"], described["prediction_structure"]) == ("(1,4)", "(1,3,2)")


@pytest.mark.usefixtures("trained")
def test_a_part_that_runs_alone_answers_as_the_model_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLPATTERNS_SERVICE", "setosa")
    own, others = ask("POST", "/predict", {"data": ROW})["prediction"]
    assert own > 0.9 > others
    assert ask("POST", "/predict/label", {"data": THREE}) == {"prediction": ["setosa", "other", "other"]}


@pytest.mark.usefixtures("trained")
def test_the_document_has_every_route_with_what_its_function_says() -> None:
    paths = ask("GET", "/openapi.json")["paths"]
    assert paths["/predict"]["post"]["description"].startswith("The prediction of each part")
    assert paths["/predict/label"]["post"]["description"].startswith("The species with the highest probability")
    assert paths["/predict/get/test"]["get"]["description"].startswith("The same as GET /predict/test.")
    assert "each part" in paths["/health/all"]["get"]["description"]
