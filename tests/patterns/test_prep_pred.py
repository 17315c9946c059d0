"""prep_pred: its demo holds, its answers are the book's, and each claim fails where it is not kept."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from msgspec.structs import replace

from mlpatterns import (
    Answers,
    App,
    Health,
    ImageDecoder,
    InferenceRequest,
    InferenceResponse,
    OnnxModel,
    Pipeline,
    Predictor,
    Unavailable,
    Wrapper,
    nested_prediction,
    serve,
)
from mlpatterns.cli import main
from mlpatterns.patterns.serving import prep_pred as pattern
from mlpatterns.testing import client, digit_images

SEEN = 20  # images, where the processes are doubles
ACCURACY, SAME, MODEL, BUSIEST, NAMED, BACK = (
    "images that the model has not seen",
    "three processes answer as one does",
    "of the CPU that photos take, the model's process needs",
    "two that prepare: the busiest process has, of the CPU of one alone",
    "a killed model is named: by a 503, by /health/all",
    "when it is back, so are its answers",
)


@pytest.fixture(autouse=True)
def home(trained_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLPATTERNS_HOME", str(trained_home))


class Part(Wrapper):
    """A model that can be down, and answer otherwise."""

    def __init__(self, inner: Predictor) -> None:
        super().__init__(inner, "pred")
        self.down, self.off = False, 0.0

    async def check(self) -> Health:
        return Health(False, "it is down") if self.down else await super().check()

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        if self.down:
            raise Unavailable("it is down")
        answer = await self.inner.predict(request)
        return replace(answer, outputs={name: value + self.off for name, value in answer.outputs.items()})


class Processes:
    """In the place of `mlpatterns.testing.process`: the same app in this process, and CPU that is counted."""

    deaf, gone, same_cpu = False, False, False
    cost_of_model, off_when_back = 0.1, 0.0

    def __init__(self, **options: Any) -> None:
        for name, value in options.items():
            assert hasattr(self, name)
            setattr(self, name, value)
        self.part = Part(OnnxModel("digits_accurate"))
        self.fronts: list[Double] = []

    def app(self) -> App:
        whole = Pipeline(ImageDecoder("digits_accurate", name="prep"), self.part, tells_health=True)
        return serve(lambda: whole, answers=Answers(predict=nested_prediction))

    @asynccontextmanager
    async def __call__(self, target: str, *, service: str = "", port: int = 1, **_: Any) -> AsyncIterator[Any]:
        if service and self.part.down and not self.gone:
            self.part.down, self.part.off = False, self.off_when_back
        async with client(self.app()) as http:
            yield Double(self, service, http)


class Double:
    def __init__(self, processes: Processes, service: str, http: httpx.AsyncClient) -> None:
        self.url, self.port, self.http, self._processes = "http://part", 1, self, processes
        self._http, self._asked, self._is_model = http, 0, bool(service)
        processes.fronts += [] if service else [self]

    async def post(self, *arguments: Any, **options: Any) -> Any:
        self._asked += 1
        return await self._http.post(*arguments, **options)

    async def get(self, path: str) -> Any:
        return await self._http.get(path)

    @property
    def cpu_seconds(self) -> float:
        total = sum(front._asked for front in self._processes.fronts)
        if self._is_model:
            return total * self._processes.cost_of_model
        return float(total if self._processes.same_cpu else self._asked)

    async def stop(self, number: int) -> None:
        self._processes.part.down = not self._processes.deaf


def failing(
    monkeypatch: pytest.MonkeyPatch, processes: Callable[[], Processes] = Processes, served: App | None = None
) -> set[str]:
    monkeypatch.setattr(pattern, "process", processes())
    monkeypatch.setattr(pattern, "SEEN", SEEN)
    monkeypatch.setattr(pattern, "PHOTOS", 4)
    monkeypatch.setattr(pattern, "SIDE", 16)

    async def ask() -> set[str]:
        async with client(served or pattern.app) as http:
            failed = {row.claim for row in (await pattern.demo(http)).rows if not row.holds}
            return {claim.removeprefix(f"accuracy on {SEEN} ") for claim in failed}

    return asyncio.run(ask())


# ---- the demo ----


@pytest.mark.slow
def test_every_claim_holds_with_real_processes_and_the_command_exits_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "prep_pred"]) == 0
    out = capsys.readouterr().out
    assert [claim for claim in (ACCURACY, SAME, MODEL, BUSIEST, NAMED, BACK) if claim not in out] == []
    assert out.endswith("prep_pred: all 6 claims hold\n")


def test_the_demo_holds_for_other_processes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    assert failing(monkeypatch) == set()


@pytest.mark.parametrize(
    ("options", "claims"),
    [
        ({"off_when_back": 0.1}, {BACK}),
        ({"cost_of_model": 3.0}, {MODEL, BUSIEST}),
        ({"same_cpu": True}, {BUSIEST}),
        ({"deaf": True}, {NAMED}),
    ],
)
def test_each_claim_fails_where_the_processes_do_not_keep_it(
    options: dict[str, Any], claims: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert failing(monkeypatch, lambda: Processes(**options)) == claims


def test_processes_that_answer_otherwise_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    def otherwise() -> Processes:
        processes = Processes()
        processes.part.off = 0.01
        return processes

    assert failing(monkeypatch, otherwise) == {SAME}


def test_a_model_that_guesses_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    class Guessing(Wrapper):
        async def predict(self, request: InferenceRequest) -> InferenceResponse:
            answer = await self.inner.predict(request)
            return replace(answer, outputs={name: np.roll(value, 1, -1) for name, value in answer.outputs.items()})

    served = serve(lambda: Guessing(pattern.build()), answers=Answers(predict=nested_prediction))
    assert failing(monkeypatch, served=served) >= {ACCURACY}


def test_a_model_that_does_not_come_back_breaks_the_demo_off(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RuntimeError, match=r"503.*pred"):
        failing(monkeypatch, lambda: Processes(gone=True))


# ---- the book's answers ----


def ask(method: str, path: str, body: Any = None, status: int = 200) -> Any:
    async def work() -> Any:
        async with client(pattern.app) as http:
            answer = await http.request(method, path, json=body)
            assert answer.status_code == status, answer.text
            return answer.json()

    return asyncio.run(work())


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.mark.parametrize("field", ["data", "image_data"])
def test_one_image_gets_its_probabilities_in_a_list_and_its_label(field: str) -> None:
    (first, digit), (second, other) = digit_images(2)
    (row,) = ask("POST", "/predict", {field: text(first)})["prediction"]
    assert (len(row), sum(row)) == (10, pytest.approx(1, abs=1e-5))
    assert ask("POST", "/predict/label", {field: text(first)}) == {"prediction": digit}
    both = ask("POST", "/predict", {field: [text(first), text(second)]})["prediction"]
    assert (len(both), both[0]) == (2, pytest.approx(row, abs=1e-6))
    assert ask("POST", "/predict/label", {field: [text(first), text(second)]}) == {"prediction": [digit, other]}


def test_the_other_routes_are_the_books() -> None:
    assert len(ask("GET", "/predict/test")["prediction"][0]) == 10
    assert ask("GET", "/predict/test/label") == {"prediction": "0"}
    assert ask("GET", "/label") == list("0123456789")
    assert ask("GET", "/health") == {"health": "ok"}
    assert ask("GET", "/health/all") == {"prep": {"health": "ok"}, "pred": {"health": "ok"}}
    described = ask("GET", "/metadata")
    assert (described["data_type"], described["data_structure"]) == ("str", "(1,1)")
    assert (described["data_sample"], described["prediction_structure"]) == ("base64 encoded image file", "(1,10)")


@pytest.mark.parametrize("mode", ["RGBA", "CMYK", "L", "1"])
def test_the_colour_mode_of_an_image_does_not_change_its_digit(mode: str) -> None:
    from PIL import Image

    (data, digit), file = digit_images(1, side=64)[0], BytesIO()
    image = Image.open(BytesIO(data)).convert("RGB").convert(mode)
    image.save(file, "JPEG" if mode == "CMYK" else "PNG")
    assert ask("POST", "/predict/label", {"data": text(file.getvalue())}) == {"prediction": digit}


@pytest.mark.parametrize(
    ("body", "words"),
    [({}, "data or image_data"), ({"data": 1}, "must be a string"), ({"data": "%"}, "not valid base64"),
     ({"data": text(b"hello")}, "stage 'prep': the image is not an image that can be read"),
     ({"data": [text(digit_images(1)[0][0]), text(b"x")]}, "image 2 of 2"), ({"data": []}, "at least one string")],
)  # fmt: skip
def test_a_body_that_is_no_image_is_a_400_that_says_what_is_wrong(body: Any, words: str) -> None:
    assert words in ask("POST", "/predict", body, 400)["error"]


def test_an_image_that_is_too_large_is_a_413(monkeypatch: pytest.MonkeyPatch) -> None:
    ((data, _),) = digit_images(1, side=6000)
    assert "25000000 are allowed" in ask("POST", "/predict", {"data": text(data)}, 413)["error"]
