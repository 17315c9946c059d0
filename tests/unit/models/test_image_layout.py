"""Which images a tensor holds."""

from __future__ import annotations

import numpy as np
import pytest

from mlpatterns import CompositionError, TensorSpec
from mlpatterns.models.image.layout import layout_of


@pytest.mark.parametrize(
    ("shape", "size", "expected"),
    [
        ((-1, 64), None, (8, 8, 1, (64,), False)),
        ((-1, 32), (4, 8), (4, 8, 1, (32,), False)),
        ((-1, -1), (2, 3), (2, 3, 1, (6,), False)),
        ((-1, 8, 9), None, (8, 9, 1, (8, 9), False)),
        ((-1, 3, 224, 200), None, (224, 200, 3, (3, 224, 200), True)),
        ((-1, 224, 200, 3), None, (224, 200, 3, (224, 200, 3), False)),
        ((-1, 1, 28, 28), None, (28, 28, 1, (1, 28, 28), True)),
        ((-1, 28, 28, 1), None, (28, 28, 1, (28, 28, 1), False)),
        ((-1, 3, -1, -1), (5, 6), (5, 6, 3, (3, 5, 6), True)),
    ],
)
def test_a_shape_says_where_height_width_and_channels_are(
    shape: tuple[int, ...], size: tuple[int, int] | None, expected: tuple[object, ...]
) -> None:
    found = layout_of(TensorSpec("x", "FP32", shape), size)
    assert (found.height, found.width, found.channels, found.shape, found.channels_first) == expected


@pytest.mark.parametrize(
    ("shape", "size"),
    [((-1,), None), ((-1, 63), None), ((-1, 64), (8, 9)), ((-1, -1), None), ((-1, 0), None), ((-1, 2, 5, 5), None),
     ((-1, 3, -1, -1), None), ((-1, 3, 8, 8), (9, 9)), ((-1, 1, 1, 8, 8), None), ((-1, 8, 8), (0, 8)),
     ((-1, 0, 8), None), ((-1, -1, 8), (-1, 8))],
)  # fmt: skip
def test_what_is_no_tensor_of_images_is_refused_with_what_to_do(
    shape: tuple[int, ...], size: tuple[int, int] | None
) -> None:
    with pytest.raises(CompositionError, match=r"'x' has the shape .* give size=\(height, width\)"):
        layout_of(TensorSpec("x", "FP32", shape), size)


@pytest.mark.parametrize("datatype", ["BYTES", "INT64", "BOOL", "INT8"])
def test_other_datatypes_are_refused(datatype: str) -> None:
    with pytest.raises(CompositionError, match="FP16, FP32, FP64 or UINT8"):
        layout_of(TensorSpec("x", datatype, (-1, 64)))


def test_channels_are_put_where_the_model_has_them() -> None:
    image = np.arange(24).reshape(2, 4, 3)
    first = layout_of(TensorSpec("x", "FP32", (-1, 3, 2, 4))).arranged(image)
    assert first[2, 1, 3] == image[1, 3, 2]
    assert layout_of(TensorSpec("x", "FP32", (-1, 2, 4, 3))).arranged(image).tolist() == image.tolist()
    grey = np.arange(4).reshape(2, 2)
    assert layout_of(TensorSpec("x", "FP32", (-1, 1, 2, 2))).arranged(grey).shape == (1, 2, 2)
    assert layout_of(TensorSpec("x", "FP32", (-1, 4))).arranged(grey).tolist() == [0, 1, 2, 3]
