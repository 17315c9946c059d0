"""Images to try models of digits on: those of scikit-learn's that the trainings did not see, as files."""

from __future__ import annotations

from typing import Literal

from mlpatterns.models.image.pixels import image_file

__all__ = ["digit_images"]


def digit_images(
    count: int | None = None, *, side: int = 8, format: Literal["PNG", "JPEG"] = "PNG"
) -> list[tuple[bytes, str]]:
    """Handwritten digits as image files, each with the digit that it is: the first `count` of 540, or all.

    Args:
        count: of images; None is all of them.
        side: pixels of height and width; each of the 8x8 becomes a square.
        format: of the files.

    Raises:
        MissingExtra: without scikit-learn or Pillow.
    """
    from mlpatterns.training.datasets import digits, stratified_split
    from mlpatterns.training.declare import Options

    data, options = digits(), Options()
    split = stratified_split(data, test_size=options.test_size, seed=options.seed)
    rows = zip(split.x_test[:count], split.y_test[:count], strict=True)
    return [(image_file(row.reshape(8, 8), side, format), data.labels[label]) for row, label in rows]
