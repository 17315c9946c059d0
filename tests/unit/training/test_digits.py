"""The data of the trainings on digits; how good their models are, test_steps.py says."""

from __future__ import annotations

import numpy as np

from mlpatterns.models.image.image_decoder import SAMPLE
from mlpatterns.testing import digit_images
from mlpatterns.training import MODELS
from mlpatterns.training.datasets import digits
from mlpatterns.training.declare import Options
from mlpatterns.training.digits import DIRECTIONS, FAST, HALVES, ZERO, HalfOptions, half, shifted


def test_the_digits_are_shades_from_0_to_1_in_the_order_of_the_digits() -> None:
    data = digits()
    assert data.x.shape == (1797, 64)
    assert data.x.dtype == np.float32
    assert (data.x.min(), data.x.max()) == (0, 1)
    assert (np.diff(data.y) >= 0).all()
    np.testing.assert_array_equal(data.x[0] * 16, ZERO)
    assert data.fields[9] == "pixel_1_1"


def test_a_half_knows_its_digits_and_calls_the_rest_other() -> None:
    data = digits()
    low, high = (half(data, HalfOptions(half=name)) for name in ("low", "high"))
    assert [data.name for data in (low, high)] == ["digits_low", "digits_high"]
    assert [data.labels for data in (low, high)] == [(*"01234", "other"), (*"56789", "other")]
    np.testing.assert_array_equal(low.y, np.minimum(data.y, 5))
    np.testing.assert_array_equal(high.y, np.where(data.y < 5, 5, data.y - 5))
    assert [MODELS[f"digits_{name}"][0] is HALVES for name in ("low", "high")] == [True, True]


def test_shifted_images_are_the_same_moved_by_a_pixel() -> None:
    image = np.zeros((1, 8, 8), np.float32)
    image[0, 3, 4] = image[0, 7, 7] = 1
    found = shifted(image.reshape(1, 64)).reshape(-1, 8, 8)
    assert len(found) == 1 + len(DIRECTIONS)
    np.testing.assert_array_equal(found[0], image[0])
    for (down, right), moved in zip(DIRECTIONS, found[1:], strict=True):
        assert moved[3 + down, 4 + right] == 1
        assert moved.sum() == 1 + ((7 + down, 7 + right) <= (7, 7) and max(down, right) <= 0)


def test_the_images_to_try_models_on_are_those_that_no_training_saw() -> None:
    split = FAST.split(digits(), Options())
    images = digit_images()
    assert [label for _, label in images] == [str(label) for label in split.y_test]
    assert digit_images(3) == images[:3]
    assert all(data.startswith(b"\x89PNG") for data, _ in images)
    ((photo, _),) = digit_images(1, side=32, format="JPEG")
    assert photo.startswith(b"\xff\xd8")
    assert SAMPLE.startswith(b"\x89PNG")
