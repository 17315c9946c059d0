"""Whether inputs are what a model takes: what is, passes; what is not has a sentence that names the input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlpatterns.errors import InvalidInput
from mlpatterns.metadata import DTYPES, TensorSpec
from mlpatterns.tensors import validate
from unit.tensors.arrays import arrays

X, KEY = TensorSpec("x", "FP32", (-1, 2)), TensorSpec("key", "BYTES", (-1,))
LIMIT = TensorSpec("limit", "FP64", (1,))
GOOD = {"x": np.ones((3, 2), np.float32), "key": np.array([b"a", b"b", b"c"], object), "limit": np.ones(1)}


def check(most: int | None = None, **other: Any) -> None:
    given_ = {name: value for name, value in {**GOOD, **other}.items() if value is not None}
    validate(given_, (X, KEY, LIMIT), most)


def test_what_the_model_takes_passes_and_an_axis_of_one_size_is_no_batch() -> None:
    check()
    check(3)


def test_nan_is_a_number_like_any_other() -> None:
    check(x=np.full((3, 2), np.nan, np.float32))


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        ({"key": None}, "missing input 'key'"),
        ({"key": None, "limit": None}, "missing input 'key', 'limit'"),
        ({"q": np.ones(1)}, "there is no input 'q'; the model takes x, key, limit"),
        ({"x": np.ones((3, 2))}, "input 'x' has datatype 'FP64', but the model has FP32"),
        ({"x": np.ones((3, 2), complex)}, "input 'x' has no datatype of the Open Inference Protocol"),
        ({"x": np.ones(3, np.float32)}, "input 'x' has shape [3], but the model has [-1, 2]"),
        ({"x": np.ones((3, 3), np.float32)}, "input 'x' has shape [3, 3], but the model has [-1, 2]"),
        ({"limit": np.ones(3)}, "input 'limit' has shape [3], but the model has [1]"),
        ({"key": np.array([b"a"], object)}, "input 'key' has 1 rows, but input 'x' has 3"),
    ],
)  # fmt: skip
def test_each_mistake_has_its_sentence(other: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check(**other)
    assert caught.value.message.startswith(sentence)


def test_a_batch_may_not_be_larger_than_the_model_takes() -> None:
    with pytest.raises(InvalidInput, match="input 'x' has 3 rows, but the model takes at most 2 in one request"):
        check(2)


FORMS = st.tuples(st.sampled_from(sorted(DTYPES)), st.lists(st.sampled_from([-1, 1, 2]), max_size=3).map(tuple))


@given(st.lists(FORMS, min_size=1, max_size=4), st.integers(0, 4), st.data())
def test_whatever_fits_the_specifications_passes_and_what_differs_in_one_size_does_not(
    forms: list[tuple[str, tuple[int, ...]]], rows: int, data: st.DataObject
) -> None:
    specs = [TensorSpec(f"x{number}", datatype, shape) for number, (datatype, shape) in enumerate(forms)]
    inputs = {}
    for spec in specs:
        sizes = [data.draw(st.integers(0, 3)) if size == -1 else size for size in spec.shape]
        if spec.shape[:1] == (-1,):
            sizes[0] = rows
        inputs[spec.name] = data.draw(arrays(tuple(sizes), spec.datatype))
    validate(inputs, specs)
    validate(inputs, specs, max(1, rows))
    spec = data.draw(st.sampled_from(specs))
    fixed = [axis for axis, size in enumerate(spec.shape) if size != -1]
    if fixed:
        axis = data.draw(st.sampled_from(fixed))
        grown = np.concatenate([inputs[spec.name]] * 2, axis=axis)
        with pytest.raises(InvalidInput, match=f"input '{spec.name}' has shape"):
            validate({**inputs, spec.name: grown}, specs)
    with pytest.raises(InvalidInput, match=f"missing input '{spec.name}'"):
        validate({name: value for name, value in inputs.items() if name != spec.name}, specs)
