"""Condition based

Need: Choose the model by who sends a request, or by what it asks for
Group: management
Book: chapter6_operation_management/condition_based_pattern
Mercari: Condition based serving
Japanese: 条件分岐推論パターン
When: several models do the same task for different users, places, languages or times, and a request says which it needs
When not: the model itself can take the condition as an input; or requests must be split between models at random

Diagram:
                         ┌─ target: mountain ─▶ digits_high: 5 to 9, or other
    client ── image ──▶ route
                         └─ else ─────────────▶ digits_low: 0 to 4, or other

Commands:
    mlpatterns train digits_low digits_high
    mlpatterns run condition_based
    mlpatterns predict http://127.0.0.1:8000 @digit.png
    curl -H 'target: mountain' http://127.0.0.1:8000/predict/test
    mlpatterns demo condition_based
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from mlpatterns import (
    Answers,
    Context,
    Evidence,
    ImageDecoder,
    InferenceResponse,
    OnnxModel,
    Pipeline,
    Predictor,
    Route,
    Row,
    Rule,
    serve,
)
from mlpatterns.testing import digit_images

if TYPE_CHECKING:
    import httpx

NAME, LOW, HIGH, SEEN = "condition_based", "digits_low", "digits_high", 200
MOUNTAIN = {"target": "mountain"}
SEVEN = base64.b64decode(  # a handwritten 7, as a PNG of 8x8 pixels
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAAAAADhZOFXAAAAPklEQVR4nAXBgRCAQBAAwJ0IDuEQDuURMiijzySEMgjhEa5d1OoeNo73EsiV1QFZ80"
    "mo7p7gfs6A6B0YX+IH1uMSQ92qBCMAAAAASUVORK5CYII="
)


def build() -> Predictor:
    """Two models for the same images. Each knows one half of the digits and labels the rest `other`."""
    parts = {
        LOW: Pipeline(ImageDecoder("digits_low"), OnnxModel("digits_low"), name=LOW),
        HIGH: Pipeline(ImageDecoder("digits_high", sample=SEVEN), OnnxModel("digits_high"), name=HIGH),
    }
    return Route(parts, rules=[Rule(to=HIGH, headers=MOUNTAIN)], default=LOW, timeout=10, name=NAME)


def bare_label(response: InferenceResponse, context: Context) -> Any:
    """The label alone; for several images a list of labels."""
    described = response.described
    assert described is not None
    best = response.outputs[described.primary_output].argmax(axis=1)
    labels = [described.labels[index] for index in best]
    return labels[0] if len(labels) == 1 else labels


app = serve(build, answers=Answers(predict=bare_label))


async def demo(client: httpx.AsyncClient) -> Evidence:
    """Sends images of both halves to both models, and requests their metadata and health."""
    images = digit_images(SEEN)
    low = [(image, label) for image, label in images if label < "5"]
    high = [(image, label) for image, label in images if label >= "5"]
    return Evidence(NAME, (
        await answered(client, "an image of 0 to 4 is named", low, {}),
        await answered(client, "with the header, one of 5 to 9 is", high, MOUNTAIN),
        await answered(client, "with the header, one of 0 to 4 is `other`", low, MOUNTAIN, "other"),
        await answered(client, "without it, one of 5 to 9 is", high, {}, "other"),
        await about_themselves(client),
    ))  # fmt: skip


async def answered(
    client: httpx.AsyncClient, claim: str, images: list[tuple[bytes, str]], headers: dict[str, str], expected: str = ""
) -> Row:
    """How many of the images get their own label, or the label `expected` if it is given."""
    right = 0
    for image, label in images:
        data = {"image_data": base64.b64encode(image).decode()}
        right += (await client.post("/predict", json=data, headers=headers)).json() == (expected or label)
    return Row(claim, f">= 93 % of {len(images)}", f"{right / len(images):.1%}", right >= 0.93 * len(images))


async def about_themselves(client: httpx.AsyncClient) -> Row:
    """Requests about the model go to the model that the header chooses."""
    said = []
    for headers in ({}, MOUNTAIN):
        labels = (await client.get("/label", headers=headers)).json()
        sample = await client.get("/predict/test", headers=headers)
        health = (await client.get("/health/pred", headers=headers)).json()
        said.append(
            f"{labels[0]}-{labels[-2]}: {sample.json()}, {health.get('health')}, {sample.headers['x-mlp-route']}"
        )
    found, expected = "; ".join(said), f"0-4: 0, ok, {LOW}; 5-9: 7, ok, {HIGH}"
    return Row("labels, sample and health are the chosen model's", expected, found, found == expected)
