"""GoldenImages: image files that the server has itself, by key: what a client names instead of sending."""

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

    They stand for the photos of a store of one's own. Takes keys, BYTES [n, 1]; gives files, BYTES [n, 1], so it goes
    in front of a decoder: ``Pipeline(GoldenImages("digits"), ImageDecoder("digits"), OnnxModel("digits"))``.

    Args:
        reference: of a model whose input are images of one size, with shades from 0 to 1.
        side: pixels of their height and width, 5000 at most.
        format: of the files; JPEG loses a little.

    Raises:
        CompositionError: at construction or at start: they cannot have that size, or the model takes no images.
        MissingExtra: at start: Pillow is not installed.
        UnknownName, ModelFileError: at start: there is no such model, or it has no golden set and no sample.
        NotFound: there is no image of that key.
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

    def given(
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
