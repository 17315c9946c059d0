"""TensorSpec: what describes no tensor is refused where it is written."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from mlpatterns.metadata import TensorSpec
from mlpatterns.user_errors import CompositionError, InvalidSpec


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("", "FP32", (-1,)), "a tensor needs a name"),
        (("x", "FLOAT", (-1,)), r"tensor 'x': there is no datatype 'FLOAT'; use BOOL, .*BYTES"),
        (("x", "float", (-1,)), "there is no datatype 'float'"),  # of 32 bits or of 64
        (("x", "bfloat16", (-1,)), "there is no datatype 'bfloat16'"),
        (("x", np.complex64, (-1,)), "there is no datatype .*complex64"),
        (("x", None, (-1,)), "there is no datatype None"),
        (("x", 32, (-1,)), "there is no datatype 32"),
        (("x", "FP32", 4), r"the shape 4 must be a tuple with a size for each axis"),
        (("x", "FP32", None), "the shape None must be a tuple"),
        (("x", "FP32", "batch"), "the shape 'batch' must be a tuple"),
        (("x", "FP32", ("-1", "4")), "must hold whole numbers"),
        (("x", "FP32", (-1, 3), "picture"), "there is no content 'picture'; use tensor, image, key, text"),
        (("x", "FP32", (-1, 3), "tensor", "abc"), "fields must be a list of column names, not 'abc'"),
        (("x", "FP32", (-1, 1), "tensor", (1,)), r"fields must be a list of column names, not \(1,\)"),
        ((5, "FP32", (-1, 1)), "a tensor needs a name"),
        (("x", "FP32", (-2, 3)), r"the shape \(-2, 3\) must hold whole numbers"),
        (("x", "FP32", (-1, 2.0)), "must hold whole numbers"),
        (("x", "FP32", (-1, True)), "must hold whole numbers"),
        (("x", "FP32", (-1, 3), "tensor", ("a", "b")), "tensor 'x' has 2 column names for 3 columns"),
        (("x", "INT64", (-1, 3), "tensor", (), True), "only FP16, FP32 and FP64 have a NaN"),
        (("x", "BYTES", (-1, 1), "text", (), True), "only FP16, FP32 and FP64 have a NaN"),
        (("x", "FP32", (-1, 2), "tensor", ("a", "b"), ["a"]), r"missing must be True or False, not .*; name columns"),
        (("x", "FP32", (-1, 2), "tensor", ("a", "b"), "no"), "missing must be True or False, not 'no'"),
        (("x", "FP32", (-1, 2), "tensor", (), False, (), "no"), "optional must be True or False, not 'no'"),
        (("x", "FP32", (-1, 2), "tensor", ("a", "b"), True, "a"), "missing_fields must be a list of"),
        (
            ("x", "FP32", (-1, 2), "tensor", ("a", "a")),
            "tensor 'x' has two columns with the same name; give each its own",
        ),
        (("x", list, (-1, 2)), "there is no datatype <class 'list'>"),  # of which numpy would make object
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


class Torchlike:
    """As a dtype of torch says what it is."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __str__(self) -> str:
        return f"torch.{self._name}"


@pytest.mark.parametrize(
    ("given", "datatype"),
    [
        ("fp32", "FP32"), ("float32", "FP32"), ("torch.float32", "FP32"), ("f4", "FP32"), (np.float32, "FP32"),
        (np.dtype(">f8"), "FP64"), (float, "FP64"), ("Double", "FP64"), (int, "INT64"), ("Int32", "INT32"),
        (np.int8, "INT8"), (bool, "BOOL"), (np.bool_, "BOOL"), ("boolean", "BOOL"), (str, "BYTES"), (bytes, "BYTES"),
        (np.dtype("U4"), "BYTES"), (object, "BYTES"), ("string", "BYTES"), (Torchlike("float"), "FP32"),
        (Torchlike("int64"), "INT64"), (Torchlike("half"), "FP16"), (Torchlike("long"), "INT64"),
    ],
)  # fmt: skip
def test_a_datatype_may_be_spelt_as_numpy_torch_or_python_spell_it(given: Any, datatype: str) -> None:
    spec = TensorSpec("x", given, (-1,))
    assert (type(spec.datatype), spec.datatype) == (str, datatype)
    assert spec == TensorSpec("x", datatype, (-1,))


@pytest.mark.parametrize("shape", [[None, 3], (None, np.int64(3)), ("batch", 3), ["?", 3], (-1, 3)])
def test_a_free_axis_may_be_none_or_a_name_and_a_shape_may_be_a_list(shape: Any) -> None:
    spec = TensorSpec("x", "FP32", shape, fields=["a", "b", "c"])
    assert spec == TensorSpec("x", "FP32", (-1, 3), fields=("a", "b", "c"))
    assert [type(size) for size in spec.shape] == [int, int]
    assert hash(spec) == hash(TensorSpec("x", "FP32", (-1, 3), fields=("a", "b", "c")))


def test_what_is_decoded_has_numbers_for_sizes() -> None:
    with pytest.raises(msgspec.ValidationError, match=r"Expected `int`, got `null`"):
        msgspec.json.decode(b'{"name": "x", "datatype": "FP32", "shape": [null]}', type=TensorSpec)


def test_names_of_numpy_can_be_encoded_as_any_others() -> None:
    columns: Any = np.array(["a", "b"])
    spec = TensorSpec(np.array(["x"])[0], "FP32", (-1, 2), fields=columns)
    assert msgspec.json.decode(msgspec.json.encode(spec), type=TensorSpec) == spec
