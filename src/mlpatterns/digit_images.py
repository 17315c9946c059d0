"""Images to try models of digits on: those of scikit-learn's that the trainings did not see, as files."""

from __future__ import annotations

from io import BytesIO
from typing import Any, Literal

from mlpatterns.errors import MissingExtra
from mlpatterns.metadata import Array

__all__ = ["digit_images", "image_file"]


def digit_images(
    count: int | None = None, *, side: int = 8, format: Literal["PNG", "JPEG"] = "PNG"
) -> list[tuple[bytes, str]]:
    """Handwritten digits as image files, each with the digit that it is: the first `count` of 540, or all.

    Args:
        side: pixels of height and width; each of the 8x8 becomes a square.

    Raises:
        MissingExtra: without scikit-learn or Pillow.
    """
    from mlpatterns.training.datasets import digits, stratified_split
    from mlpatterns.training.declare import Options

    data, options = digits(), Options()
    split = stratified_split(data, test_size=options.test_size, seed=options.seed)
    rows = zip(split.x_test[:count], split.y_test[:count], strict=True)
    return [(image_file(row.reshape(8, 8), side, format), data.labels[label]) for row, label in rows]


def image_file(shades: Array, side: int, format: str = "PNG") -> bytes:
    """Shades from 0, black, to 1, white, [height, width], as a grey image file of `side` pixels in width and height.

    Raises:
        MissingExtra: without Pillow.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingExtra("an image file", "image") from error
    image: Any = Image.fromarray((shades * 255).round().astype("uint8"))
    file = BytesIO()
    image.resize((side, side), Image.Resampling.NEAREST).save(file, format)
    return file.getvalue()
