"""GoldenImages: the rows of a golden set as files, by key."""

from __future__ import annotations

import asyncio
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mlpatterns import (
    CompositionError,
    GoldenImages,
    ImageDecoder,
    NotFound,
    Pipeline,
    Predictor,
    Settings,
    TensorSpec,
    running,
)
from mlpatterns.metadata import ModelMetadata
from mlpatterns.registry.files import ModelFiles
from mlpatterns.registry.golden import GOLDEN, Golden
from mlpatterns.testing import request

SPECS = {
    "flat": TensorSpec("x", "FP32", (-1, 16)),
    "first": TensorSpec("x", "FP32", (-1, 3, 4, 4)),
    "last": TensorSpec("x", "UINT8", (-1, 4, 4, 3)),
}


def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: TensorSpec) -> Any:
    """A registered model with a golden set of four rows; returns them."""
    shape = (4, *spec.shape[1:])
    rows = np.random.default_rng(0).integers(0, 256, shape).astype(np.float64)
    rows = rows if spec.datatype == "UINT8" else rows / 255
    found = ModelFiles(tmp_path / "m.onnx", tmp_path, "d", "m", "3", ModelMetadata("m", "3", "p", (spec,), (), "y"))
    (tmp_path / GOLDEN).write_bytes(Golden(1e-4, {"x": rows.tolist()}, {"y": [0.0] * 4}).dump())

    async def find_model_files(*_: object) -> ModelFiles:
        return found

    for module in ("golden.rows", "image.image_decoder"):
        monkeypatch.setattr(f"mlpatterns.models.{module}.find_model_files", find_model_files)
    return rows


def ask(root: Predictor, *keys: bytes) -> Any:
    async def work() -> Any:
        async with running(root, settings=Settings()):
            asked = np.array([[key] for key in keys], dtype=object)
            return (await root.predict(request({"key": asked}))).outputs, root.identity(), root.metadata

    return asyncio.run(work())


@pytest.mark.parametrize("name", SPECS)
def test_a_decoder_makes_the_rows_of_them_again(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = model(tmp_path, monkeypatch, SPECS[name])
    outputs, _, described = ask(Pipeline(GoldenImages("m", side=40, format="PNG"), ImageDecoder("m")), b"0003", b"0000")
    np.testing.assert_allclose(outputs["x"], rows[[3, 0]], atol=1e-6)
    assert described.inputs[0].content == "key"


def test_they_are_files_of_that_size_and_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model(tmp_path, monkeypatch, SPECS["flat"])
    outputs, identity, described = ask(GoldenImages("m", side=24), b"0001")
    image = Image.open(BytesIO(outputs["image"][0, 0]))
    assert (image.size, image.format, described.outputs[0].content) == ((24, 24), "JPEG", "image")
    assert identity == ask(GoldenImages("m", side=24), b"0001")[1]
    assert identity != ask(GoldenImages("m", side=25), b"0001")[1]
    assert identity != ask(GoldenImages("m", side=24, format="PNG"), b"0001")[1]


def test_an_unknown_key_is_not_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model(tmp_path, monkeypatch, SPECS["flat"])
    with pytest.raises(NotFound, match=r"there is no image '\.\./x'; the keys are '0000' to '0003'"):
        ask(GoldenImages("m", side=8), b"../x")


def test_what_cannot_be_an_image_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for side in (0, 5001):
        with pytest.raises(CompositionError, match="1 to 5000 pixels"):
            GoldenImages("m", side=side)
    model(tmp_path, monkeypatch, TensorSpec("x", "FP32", (-1, 5)))
    with pytest.raises(CompositionError, match="which is not that of images"):
        ask(GoldenImages("m"), b"0000")
