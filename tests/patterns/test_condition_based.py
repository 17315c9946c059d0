"""condition_based: its demo holds on the real models, and each claim fails where the route does not keep it."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from mlpatterns import Context, InferenceRequest, InferenceResponse, ModelMetadata, Route
from mlpatterns.cli import main
from mlpatterns.patterns.management import condition_based
from mlpatterns.testing import client, digit_images

NAMED, THERE, OTHER, ELSE, SELVES = (
    "an image of 0 to 4 is named",
    "with the header, one of 5 to 9 is",
    "with the header, one of 0 to 4 is `other`",
    "without it, one of 5 to 9 is",
    "labels, sample and health are the chosen model's",
)
MOUNTAIN = {"target": "mountain"}


@pytest.fixture(autouse=True)
def home(trained_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLPATTERNS_HOME", str(trained_home))
    monkeypatch.setattr(condition_based, "SEEN", 30)


class Deaf(Route):
    """Does not look at the header."""

    def _choose(self, context: Context, request: InferenceRequest | None) -> tuple[str, float | None]:
        return condition_based.LOW, 10


class Turned(Route):
    """Sends each where the other belongs."""

    def _choose(self, context: Context, request: InferenceRequest | None) -> tuple[str, float | None]:
        name, timeout = super()._choose(context, request)
        return {condition_based.LOW: condition_based.HIGH}.get(name, condition_based.LOW), timeout


class Selfish(Route):
    """Answers by the rules, and says of itself what is true of the default alone."""

    def describe(self, context: Context) -> ModelMetadata:
        return self.metadata


class Mislabelled(Route):
    """Names what one model found by the labels of another."""

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        return replace(await super().predict(request), described=self.metadata)


def failing(route: type, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    monkeypatch.setattr(condition_based, "Route", route)

    async def ask() -> set[str]:
        async with client(condition_based.app) as http:
            return {row.claim for row in (await condition_based.demo(http)).rows if not row.holds}

    return asyncio.run(ask())


def test_every_claim_holds_and_the_command_exits_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "condition_based"]) == 0
    out = capsys.readouterr().out
    assert all(f"holds    {claim}" in out for claim in (NAMED, THERE, OTHER, ELSE, SELVES))


def test_without_rules_the_command_exits_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(condition_based, "Route", Deaf)
    assert main(["demo", "condition_based"]) == 1


@pytest.mark.parametrize(
    ("route", "claims"),
    [
        (Deaf, {THERE, OTHER, SELVES}),
        (Turned, {NAMED, THERE, OTHER, ELSE, SELVES}),
        (Selfish, {SELVES}),
        (Mislabelled, {THERE, SELVES}),
    ],
)
def test_each_claim_fails_where_the_route_does_not_keep_it(
    route: type, claims: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert failing(route, monkeypatch) == claims


def test_the_books_routes_answer_as_in_the_book() -> None:
    image = {"image_data": base64.b64encode(digit_images(1)[0][0]).decode()}

    async def work() -> None:
        async with client(condition_based.app) as http:
            assert (await http.get("/health")).json() == {"health": "ok"}
            assert (await http.get("/health/pred")).json() == {"health": "ok"}
            for headers, labels, sample in (({}, "01234", "0"), (MOUNTAIN, "56789", "7")):
                assert (await http.get("/label", headers=headers)).json() == [*labels, "other"]
                assert (await http.get("/predict/test", headers=headers)).json() == sample
                metadata = (await http.get("/metadata", headers=headers)).json()
                assert metadata["data_sample"] == "base64 encoded image file"
                assert (metadata["data_structure"], metadata["prediction_structure"]) == ("(1,1)", "(1,6)")
                answer = await http.post("/predict", json=image, headers=headers)
                assert answer.text in [f'"{label}"' for label in (*labels, "other")]
            slip = await http.get("/predict/test", headers={"target": "plant"})  # the book's own: it matches no rule
            assert slip.json() == "0"
            several = {"data": [image["image_data"]] * 2}
            assert len((await http.post("/predict", json=several)).json()) == 2

    asyncio.run(work())


@pytest.mark.parametrize("body", [{}, {"image_data": 5}, {"image_data": "!"}, {"image_data": "AAAA"}, {"data": []}])
def test_what_is_no_image_is_a_400_with_one_sentence(body: Any) -> None:
    async def work() -> None:
        async with client(condition_based.app) as http:
            answer = await http.post("/predict", json=body, headers=MOUNTAIN)
            assert answer.status_code == 400
            assert list(answer.json()) == ["error"]

    asyncio.run(work())
