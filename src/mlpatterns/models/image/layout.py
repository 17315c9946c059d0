"""The layout of images in a tensor: height, width and channels of one row, and the order of its axes."""

from __future__ import annotations

from math import isqrt
from typing import Any

import numpy as np
from msgspec import Struct

from mlpatterns.metadata import DTYPES, Array, TensorSpec
from mlpatterns.user_errors import CompositionError

__all__ = ["Layout", "layout_of"]

CHANNELS = (1, 3)  # grey; red, green and blue


class Layout(Struct, frozen=True):
    """The shape and the datatype in which a model expects one image.

    Attributes:
        shape: the shape of one row of the model's input; 64 numbers may be an image of 8x8.
        channels_first: the axis of channels comes before height and width.
    """

    height: int
    width: int
    channels: int
    shape: tuple[int, ...]
    channels_first: bool
    dtype: np.dtype[Any]

    def arranged(self, image: Array) -> Array:
        """An image [height, width] or [height, width, channels], in the shape of a row."""
        return (image.transpose(2, 0, 1) if self.channels_first and image.ndim == 3 else image).reshape(self.shape)

    def shades(self, row: Array) -> Array:
        """The inverse of `arranged`: a row as [height, width], or [height, width, channels] with several channels."""
        if self.channels == 1:
            return row.reshape(self.height, self.width)
        image = row.reshape(self.shape)
        return image.transpose(1, 2, 0) if self.channels_first else image


def layout_of(spec: TensorSpec, size: tuple[int, int] | None = None) -> Layout:
    """The layout of the images in a tensor of [n, side * side], [n, h, w], [n, c, h, w] or [n, h, w, c].

    Args:
        size: height and width, if they are variable in the tensor, or if a flat row is not a square image.

    Raises:
        CompositionError: the tensor does not contain images, or not images of that size.
    """
    dtype, sizes = DTYPES[spec.datatype], spec.shape[1:]
    if dtype.kind != "f" and dtype != np.uint8:
        raise CompositionError(
            f"{spec.name!r} takes {spec.datatype}, and the pixels of an image are FP16, FP32, FP64 or UINT8"
        )
    if len(sizes) == 1:
        height, width = size or (isqrt(max(sizes[0], 0)),) * 2
        _require(spec, height > 0 and sizes[0] in (-1, height * width))
        return Layout(height, width, 1, (height * width,), False, dtype)
    first = len(sizes) == 3 and sizes[0] in CHANNELS
    channels, axes = (sizes[0], sizes[1:]) if first else ((*sizes[2:], 1)[0], sizes[:2])
    _require(spec, len(sizes) in (2, 3) and channels in CHANNELS)
    height, width = size or axes
    _require(spec, height > 0 < width and axes[0] in (-1, height) and axes[1] in (-1, width))
    shape = (channels, height, width) if first else (height, width, channels)[: len(sizes)]
    return Layout(height, width, channels, shape, first, dtype)


def _require(spec: TensorSpec, fits: bool) -> None:
    if not fits:
        raise CompositionError(
            f"{spec.name!r} has the shape {list(spec.shape)}, which is not that of images with 1 or 3 channels; give "
            "size=(height, width) that fits it, or decode in a PythonModel of your own"
        )
