"""What the service promises, tested with requests as users send them."""

from __future__ import annotations

import pytest
from conftest import base64, png
from PIL import Image


def test_each_of_ten_real_digits_is_read_right(ask, digits):
    for digit, image in digits:
        assert ask("/predict/label", {"data": base64(png(image))}) == (200, {"prediction": digit})


def test_one_image_has_ten_probabilities_and_the_digit_has_the_highest(ask, digits):
    digit, image = digits[7]
    status, answer = ask("/predict", {"data": base64(png(image))})
    probabilities = answer["prediction"]
    assert (status, len(probabilities)) == (200, 10)
    assert sum(probabilities) == pytest.approx(1, abs=1e-5)
    assert str(probabilities.index(max(probabilities))) == digit


def test_several_images_in_one_request_are_each_answered(ask, digits):
    images = [base64(png(image)) for _, image in digits]
    assert ask("/predict/label", {"data": images}) == (200, {"prediction": [digit for digit, _ in digits]})


def test_the_field_may_be_called_image_data(ask, digits):
    digit, image = digits[3]
    assert ask("/predict/label", {"image_data": base64(png(image))}) == (200, {"prediction": digit})


def test_a_large_coloured_image_is_read_like_the_small_grey_one(ask, digits):
    for digit, image in digits:
        large = image.resize((320, 320), Image.Resampling.NEAREST).convert("RGB")
        assert ask("/predict/label", {"data": base64(png(large))}) == (200, {"prediction": digit})


def test_a_broken_image_is_a_400_that_names_it(ask, digits):
    whole = png(digits[0][1])
    status, answer = ask("/predict", {"data": [base64(whole), base64(whole[:60])]})
    assert status == 400
    assert "image 2 of 2 is not a PNG file, or is damaged" in answer["error"]


@pytest.mark.parametrize("data", ["bm90IGFuIGltYWdl", ""])
def test_what_is_no_image_is_a_400(ask, data):
    status, answer = ask("/predict", {"data": data})
    assert status == 400
    assert "image 1 of 1" in answer["error"]


def test_what_is_no_base64_is_a_400(ask):
    status, answer = ask("/predict", {"data": "%%%"})
    assert status == 400
    assert "base64" in answer["error"]


def test_the_labels_are_the_ten_digits(ask):
    assert ask("/label") == (200, list("0123456789"))


def test_the_sample_is_a_four(ask):
    assert ask("/predict/test/label") == (200, {"prediction": "4"})


def test_the_open_inference_protocol_gives_the_same_answer(ask, digits):
    digit, image = digits[2]
    text = base64(png(image))
    tensor = {"name": "image", "datatype": "BYTES", "shape": [1, 1], "data": [text]}
    status, answer = ask("/v2/models/digits/infer", {"inputs": [tensor]})
    outputs = {output["name"]: output for output in answer["outputs"]}
    assert (status, outputs["probabilities"]["shape"]) == (200, [1, 10])
    assert outputs["label"]["data"] == [int(digit)]
    assert outputs["probabilities"]["data"] == ask("/predict", {"data": text})[1]["prediction"]
