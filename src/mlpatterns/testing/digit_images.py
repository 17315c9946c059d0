"""Image files for tests of digit models: scikit-learn's digits that were not used for training."""

from __future__ import annotations

from typing import Literal

from mlpatterns.models.image.pixels import image_file

__all__ = ["digit_images"]


def digit_images(
    count: int | None = None, *, side: int = 8, format: Literal["PNG", "JPEG"] = "PNG"
) -> list[tuple[bytes, str]]:
    """Handwritten digits as image files, each with its digit: the first `count` of 540, or all.

    Args:
        count: the number of images; None for all.
        side: height and width in pixels; each of the 8x8 original pixels becomes a square.
        format: the file format.

    Raises:
        MissingExtra: scikit-learn or Pillow is not installed.
    """
    from mlpatterns.training.datasets import digits, stratified_split
    from mlpatterns.training.declare import Options

    data, options = digits(), Options()
    split = stratified_split(data, test_size=options.test_size, seed=options.seed)
    rows = zip(split.x_test[:count], split.y_test[:count], strict=True)
    return [(image_file(row.reshape(8, 8), side, format), data.labels[label]) for row, label in rows]
