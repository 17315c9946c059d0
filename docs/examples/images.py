"""Images.

What makes image files the input of a model, and keys the input of another: both stand before it in a Pipeline.
"""

from __future__ import annotations

import base64

from mlpatterns import GoldenImages, GoldenRows, ImageDecoder, OnnxModel, Pipeline
from mlpatterns.testing import client, digit_images

NAMES = ("ImageDecoder", "GoldenImages", "GoldenRows")


async def image_decoder_example() -> None:
    ((image, digit),) = digit_images(1, side=200, format="JPEG")
    async with client(Pipeline(ImageDecoder("digits_fast"), OnnxModel("digits_fast"))) as http:
        answer = await http.post("/predict/label", json={"data": base64.b64encode(image).decode()})
    assert answer.json()["prediction"] == digit


async def golden_images_example() -> None:
    photos = Pipeline(GoldenImages("digits_fast", side=64), ImageDecoder("digits_fast"))
    async with client(Pipeline(photos, OnnxModel("digits_fast"))) as http:
        answers = await http.post("/predict/label", json={"data": ["0000", "0001"]})
    assert len(answers.json()["prediction"]) == 2


async def golden_rows_example() -> None:
    async with client(Pipeline(GoldenRows("iris_sklearn_svc"), OnnxModel("iris_sklearn_svc"))) as http:
        answer = await http.post("/predict", json={"data": "0000"})
    assert len(answer.json()["prediction"]) == 3
