"""Real digits as PNG files, and a client of the service."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from app import MODEL, app
from PIL import Image

from mlpatterns.testing import client


def png(image: Image.Image) -> bytes:
    """An image as a PNG file."""
    file = BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def base64(data: bytes) -> str:
    return b64encode(data).decode()


@pytest.fixture(scope="session")
def digits() -> list[tuple[str, Image.Image]]:
    """(digit, 8x8 image) for each digit from 0 to 9; the model has not seen these images in training."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    found = load_digits()
    _, images, _, labels = train_test_split(
        found.images, found.target, test_size=0.25, random_state=0, stratify=found.target
    )
    firsts = [images[labels == digit][0] for digit in range(10)]
    shades = [np.rint(first * 255 / 16).astype(np.uint8) for first in firsts]
    return [(str(digit), Image.fromarray(shade)) for digit, shade in enumerate(shades)]


@pytest.fixture
def ask() -> Callable[..., tuple[int, Any]]:
    """A function that sends a path and JSON to the service, and returns (status, JSON)."""
    assert MODEL.exists(), "there is no model.onnx: run `python train.py` first"

    def ask(path: str, body: Mapping[str, Any] | None = None) -> tuple[int, Any]:
        async def main() -> tuple[int, Any]:
            async with client(app) as http:
                response = await (http.get(path) if body is None else http.post(path, json=body))
                return response.status_code, response.json()

        return asyncio.run(main())

    return ask
