"""Converts PNG files to rows like the training data: 64 shades of grey, from 0 (background) to 16 (ink)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mlpatterns import InvalidInput, PythonModel, TensorSpec

__all__ = ["MOST_PIXELS", "pixels", "preprocessing", "to_row"]

SIDE, INK = 8, 16
MOST_PIXELS = 4_000_000  # as many as a photo has; a PNG of a few hundred bytes can claim billions
Image.MAX_IMAGE_PIXELS = MOST_PIXELS
PNG_IN_BASE64 = b"iVBORw0KGgo"  # the start of every PNG in base64, which OIP's JSON needs, because JSON has no bytes
SAMPLE = Path(__file__).with_name("sample.png")

Array = np.ndarray[Any, np.dtype[Any]]


def preprocessing() -> PythonModel:
    """A model that takes `image`, BYTES [n, 1] with PNG files, and returns `pixels`, FP32 [n, 64]."""
    return PythonModel(
        lambda: None,
        pixels,
        name="images",
        inputs=[TensorSpec("image", "BYTES", (-1, 1), content="image")],
        outputs=[TensorSpec("pixels", "FP32", (-1, SIDE * SIDE))],
        sample={"image": np.array([[SAMPLE.read_bytes()]], dtype=object)},
        run_on="thread",  # a large image takes milliseconds, and Pillow releases the GIL
        digest=f"png-to-{SIDE}x{SIDE}-box-1",  # change it with the code below, so that no cache mixes old and new rows
    )


def pixels(_: None, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """One row for each image.

    Raises:
        InvalidInput: an image cannot be used; the error text names it.
    """
    images = list(inputs["image"].flat)
    return {"pixels": np.stack([_row(data, f"image {n} of {len(images)}") for n, data in enumerate(images, 1)])}


def to_row(image: Image.Image) -> Array:
    """An image of any size and mode as float32 [64], from 0 to 16."""
    if image.mode != "L":
        image = image.convert("RGBA")  # transparent pixels become black, which is background
        image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image).convert("L")
    small = image.resize((SIDE, SIDE), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float32).reshape(SIDE * SIDE) * np.float32(INK / 255)


def _row(data: bytes, which: str) -> Array:
    try:
        with Image.open(BytesIO(_png(data)), formats=["PNG"]) as image:
            if image.width * image.height > MOST_PIXELS:
                raise InvalidInput(f"{which} has more than {MOST_PIXELS} pixels")
            if image.mode.startswith("I"):
                raise InvalidInput(f"{which} has 16 bits a pixel; send 8")
            return to_row(image)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise InvalidInput(f"{which} has more than {MOST_PIXELS} pixels") from None
    except (OSError, ValueError, SyntaxError, EOFError):  # Pillow raises any of these for a damaged file
        raise InvalidInput(f"{which} is not a PNG file, or is damaged") from None


def _png(data: bytes) -> bytes:
    if not data.startswith(PNG_IN_BASE64):
        return data
    try:
        return base64.b64decode(data, validate=True)
    except binascii.Error:
        raise ValueError("broken base64") from None
