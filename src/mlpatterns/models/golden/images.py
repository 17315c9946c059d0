"""GoldenImages: image files that are stored on the server, by key: a client sends a key instead of an image."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Literal

import numpy as np

from mlpatterns.metadata import Array, TensorSpec
from mlpatterns.models.golden.rows import GoldenRows
from mlpatterns.models.image.layout import layout_of
from mlpatterns.models.image.pixels import MOST_SIDE, image_file, prepare
from mlpatterns.references import Reference
from mlpatterns.user_errors import CompositionError

__all__ = ["GoldenImages"]


class GoldenImages(GoldenRows):
    """The rows of a model's golden set as image files, by their number in four digits: ``"0000"``, ``"0001"``, …

    They stand in for your photo store. The input is keys, BYTES [n, 1]; the output is files, BYTES [n, 1].
    Put it before a decoder: ``Pipeline(GoldenImages("digits"), ImageDecoder("digits"), OnnxModel("digits"))``.

    Args:
        reference: a model whose input is images of one size. Float shades are from 0 to 1, UINT8 shades from 0 to 255.
        side: height and width of the images in pixels, 5000 at most.
        format: the format of the files; JPEG is slightly lossy.

    Raises:
        CompositionError: at construction or at start: `side` or `format` is not allowed, or the model takes no images.
        MissingExtra: at start: Pillow is not installed.
        UnknownName, ModelFileError: at start: there is no such model, or it has no golden set and no sample.
        NotFound: in `predict`: there is no image with that key.
    """

    what = "image"

    def __init__(
        self,
        reference: str | Reference,
        *,
        side: int = 1024,
        format: Literal["PNG", "JPEG"] = "JPEG",
        name: str = "images",
    ) -> None:
        super().__init__(reference, name=name)
        if not 0 < side <= MOST_SIDE or format not in ("PNG", "JPEG"):
            raise CompositionError(f"{name!r} are PNG or JPEG images of 1 to {MOST_SIDE} pixels a side")
        self.side, self.format = side, format

    def make_outputs(
        self, rows: Mapping[str, Array], specs: tuple[TensorSpec, ...], identity: str
    ) -> tuple[Mapping[str, Array], tuple[TensorSpec, ...], str]:
        if len(specs) != 1:
            raise CompositionError(f"{self.reference} takes {len(specs)} inputs, which are not one image")
        layout = layout_of(specs[0])
        shades = rows[specs[0].name] / (255 if layout.dtype.kind == "u" else 1)
        files = [image_file(layout.shades(row), self.side, self.format) for row in shades]
        drawn = json.dumps(["images 1", prepare(), self.side, self.format, identity])
        image = TensorSpec("image", "BYTES", (-1, 1), content="image")
        array = np.array(files, dtype=object).reshape(len(files), 1)
        return {"image": array}, (image,), hashlib.sha256(drawn.encode()).hexdigest()
