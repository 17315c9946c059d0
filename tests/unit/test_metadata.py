"""TensorSpec: what describes no tensor is refused where it is written."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from mlpatterns.errors import CompositionError, InvalidSpec
from mlpatterns.metadata import TensorSpec


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("", "FP32", (-1,)), "a tensor needs a name"),
        (("x", "FLOAT", (-1,)), r"tensor 'x': there is no datatype 'FLOAT'; use BOOL, .*BYTES"),
        (("x", "fp32", (-1,)), "there is no datatype 'fp32'"),
        (("x", "FP32", (-2, 3)), r"the shape \(-2, 3\) must hold whole numbers"),
        (("x", "FP32", (-1, 2.0)), "must hold whole numbers"),
        (("x", "FP32", (-1, True)), "must hold whole numbers"),
        (("x", "FP32", (-1, 3), "tensor", ("a", "b")), "tensor 'x' has 2 column names for 3 columns"),
        (("x", "INT64", (-1, 3), "tensor", (), True), "only FP16, FP32 and FP64 have a NaN"),
        (("x", "BYTES", (-1, 1), "text", (), True), "only FP16, FP32 and FP64 have a NaN"),
    ],
)
def test_what_describes_no_tensor_is_refused_with_a_sentence(given: Any, words: str) -> None:
    with pytest.raises(InvalidSpec, match=words) as caught:
        TensorSpec(*given)
    assert isinstance(caught.value, CompositionError)


@pytest.mark.parametrize(
    "given",
    [
        ("x", "FP32", ()),
        ("x", "FP16", (-1, 3), "tensor", ("a", "b", "c"), True),
        ("x", "FP64", (-1, -1), "tensor", ("a", "b")),
        ("x", "BYTES", (0, 1), "image"),
    ],
)
def test_what_describes_a_tensor_is_taken(given: Any) -> None:
    assert TensorSpec(*given).name == "x"


def test_one_that_is_decoded_is_checked_too_and_the_error_says_where_it_stands() -> None:
    with pytest.raises(msgspec.ValidationError, match=r"there is no datatype 'FLOAT'.*\$\[1\]"):
        msgspec.json.decode(
            b'[{"name": "x", "datatype": "FP32", "shape": [1]}, {"name": "y", "datatype": "FLOAT", "shape": [1]}]',
            type=list[TensorSpec],
        )
