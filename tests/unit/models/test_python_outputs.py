"""What Python code answers: cast to what was declared where nothing is lost, refused in a sentence elsewhere."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from mlpatterns.errors import InternalError
from mlpatterns.metadata import DTYPES, TensorSpec
from mlpatterns.models.python.outputs import Misfit, Outputs, fitted

ROWS = {"x": np.zeros((2, 3), np.float32)}
INPUT = TensorSpec("x", "FP32", (-1, 3))
BIG = 2**40


class Tensor:
    """As a tensor of torch that waits for gradients, on another device."""

    def __init__(self, values: Any, dtype: str = "torch.float32", *, ready: bool = False) -> None:
        self.values, self.dtype, self.ready = values, dtype, ready

    def detach(self) -> Tensor:
        return Tensor(self.values, self.dtype)

    def cpu(self) -> Tensor:
        return Tensor(self.values, self.dtype, ready=True)

    def float(self) -> Tensor:
        return Tensor(self.values, ready=self.ready)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        if not self.ready or self.dtype == "torch.bfloat16":
            raise RuntimeError("/secret/path")
        return np.asarray(self.values, np.float32)


class Tabular:
    """As a column of pandas."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.array([1.5, 2], dtype=object)


class Hostile:
    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise RuntimeError("/secret/path")


def checked(value: Any, datatype: str = "FP32", shape: Any = (-1,), inputs: Any = (INPUT,)) -> Any:
    outputs = Outputs([TensorSpec("y", datatype, shape)], inputs).checked({"y": value, "more": object()}, ROWS)
    assert list(outputs) == ["y"]
    assert outputs["y"].dtype == DTYPES[datatype]
    return outputs["y"].tolist()


@pytest.mark.parametrize(
    ("value", "datatype", "expected"),
    [
        (np.array([0.1, np.nan]), "FP32", [np.float32(0.1), np.nan]),
        (np.array([1.0, -np.inf]), "FP16", [1.0, -np.inf]),
        (np.array([1.5, 2.5], np.float16), "FP64", [1.5, 2.5]),
        (np.array([1, 2], ">f4"), "FP32", [1.0, 2.0]),
        (np.array([1, 2], ">i8"), "INT64", [1, 2]),
        (np.array([1, 2], np.int8), "INT64", [1, 2]),
        (np.array([1, -2], np.int64), "INT32", [1, -2]),
        (np.array([1, 255], np.int64), "UINT8", [1, 255]),
        (np.array([1, 2], np.uint64), "INT64", [1, 2]),
        (np.array([1, BIG], np.int64), "FP32", [1.0, float(BIG)]),
        (np.array([1.0, 2.0]), "INT64", [1, 2]),
        (np.array([True, False]), "FP32", [1.0, 0.0]),
        (np.array([1, 0]), "BOOL", [True, False]),
        ([1, 2.5], "FP32", [1.0, 2.5]),
        ((1, 2), "INT64", [1, 2]),
        (range(2), "INT64", [0, 1]),
        ((size for size in (1, 2)), "INT64", [1, 2]),
        (map(float, (1, 2)), "FP32", [1.0, 2.0]),
        (np.array([1, 2.5], dtype=object), "FP32", [1.0, 2.5]),
        (np.ma.masked_array([1.0, 2.0], [False, False]), "FP32", [1.0, 2.0]),
        (Tabular(), "FP64", [1.5, 2.0]),
        (Tensor([1.0, 2.0]), "FP32", [1.0, 2.0]),
        (Tensor([1.0, 2.0], "torch.bfloat16"), "FP32", [1.0, 2.0]),
        (["a", "ä"], "BYTES", [b"a", "ä".encode()]),
        (np.array([b"a", "b"], dtype=object), "BYTES", [b"a", b"b"]),
        (np.array(["a", "bc"]), "BYTES", [b"a", b"bc"]),
        (np.array([b"a", b"bc"]), "BYTES", [b"a", b"bc"]),
        (np.array([bytearray(b"a"), np.str_("b")], dtype=object), "BYTES", [b"a", b"b"]),
    ],
)
def test_it_is_cast_where_nothing_is_lost(value: Any, datatype: str, expected: list[Any]) -> None:
    found = checked(value, datatype)
    assert np.array_equal(found, expected, equal_nan=True) if datatype.startswith("FP") else found == expected
    assert {type(item) for item in found} == {type(item) for item in np.array(expected, DTYPES[datatype]).tolist()}


def test_what_is_as_declared_is_not_copied() -> None:
    value = np.zeros(2, np.float32)
    assert fitted(TensorSpec("y", "FP32", (-1,)), value) is value


@pytest.mark.parametrize(
    ("value", "datatype", "shape", "words"),
    [
        (np.array([0.5, 1.0]), "INT64", (-1,), r"gave FP64 \[2\] with a number that does not fit in output 'y'"),
        (np.array([0.5, 1.0]), "INT64", (-1,), r"but INT64 \[-1\] is declared; the fault is the model's, not"),
        (np.array([1e39, 1.0]), "FP32", (-1,), r"gave FP64 \[2\] with a number too large in output 'y'"),
        (np.array([1e5, 1.0], np.float32), "FP16", (-1,), "too large"),
        (np.array([np.nan, 1.0]), "INT64", (-1,), "does not fit"),
        (np.array([2**31, 1]), "INT32", (-1,), "does not fit"),
        (np.array([-1, 1]), "UINT64", (-1,), "does not fit"),
        (np.array([2**63, 1], np.uint64), "INT64", (-1,), "does not fit"),
        (np.array([2**24 + 1, 1]), "FP32", (-1,), "does not fit"),
        (np.array([2, 1]), "BOOL", (-1,), "does not fit"),
        (np.array([1j, 1]), "FP32", (-1,), r"gave complex128 \[2\]"),
        (np.array(["2026-01-01"] * 2, "M8[D]"), "INT64", (-1,), r"gave datetime64\[D\] \[2\]"),
        (["1", "2"], "FP32", (-1,), r"gave text \[2\] in output 'y'"),
        ([None, 1.0], "FP32", (-1,), r"gave objects \[2\]"),
        ([1.0, 2.0], "BYTES", (-1,), r"gave FP64 \[2\]"),
        (["a", None], "BYTES", (-1,), "gave None where text or bytes belong in output 'y'"),
        (["a", "\ud800"], "BYTES", (-1,), "text that UTF-8 cannot encode"),
        ([[1.0], [1.0, 2.0]], "FP32", (-1, -1), "a list that is not an array"),
        (np.ma.masked_array([1.0, 2.0], [False, True]), "FP32", (-1,), "gave an array with values that are masked"),
        (None, "FP32", (-1,), "gave None in output 'y'"),
        ({1.0, 2.0}, "FP32", (-1,), "gave a set in output 'y'"),
        (Hostile(), "FP32", (-1,), "gave a Hostile that is not an array in output 'y'"),
        (np.zeros((2, 1)), "FP32", (-1,), r"gave FP32 \[2, 1\] in output 'y', but FP32 \[-1\] is declared"),
        (np.zeros(2), "FP32", (-1, 1), r"gave FP32 \[2\] in output 'y', but FP32 \[-1, 1\]"),
        (np.zeros((2, 3)), "FP32", (-1, 4), r"gave FP32 \[2, 3\] in output 'y', but FP32 \[-1, 4\]"),
        (np.zeros((3, 3)), "FP32", (-1, 3), "gave 3 rows in output 'y' for 2 rows of input"),
        (1.0, "FP32", (-1,), "gave no batch axis in output 'y' for 2 rows of input"),
    ],
)  # fmt: skip
def test_what_would_lose_something_is_an_internal_error_that_says_what_and_whose(
    value: Any, datatype: str, shape: Any, words: str
) -> None:
    with pytest.raises(InternalError, match=words) as caught:
        checked(value, datatype, shape)
    assert "secret" not in str(caught.value)


def test_rows_are_counted_where_both_have_a_batch_axis() -> None:
    fixed = (TensorSpec("x", "FP32", (2, 3)),)
    assert checked(np.zeros(5), inputs=fixed) == [0.0] * 5  # as boxes in a picture
    assert checked(3.0, shape=()) == 3.0
    assert checked(np.zeros(3), shape=(3,)) == [0.0] * 3


def test_the_input_with_a_batch_axis_says_how_many_rows_there_are() -> None:
    outputs = Outputs([TensorSpec("y", "FP32", (-1,))], [TensorSpec("limit", "FP32", (1,)), INPUT])
    given = {"limit": np.zeros(1, np.float32), **ROWS}
    assert outputs.checked({"y": [1.0, 2.0]}, given)["y"].tolist() == [1.0, 2.0]
    with pytest.raises(InternalError, match="gave 1 rows"):
        outputs.checked({"y": [1.0]}, given)


numbers = st.sampled_from([name for name in DTYPES if name != "BYTES"])
values = st.sampled_from([dtype for dtype in DTYPES.values() if dtype.kind != "O"]).flatmap(
    lambda dtype: arrays(dtype, array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=3))
)


@given(values, numbers)
def test_numbers_are_the_same_after_a_cast_or_there_is_none(value: Any, datatype: str) -> None:
    wanted = DTYPES[datatype]
    try:
        cast = fitted(TensorSpec("y", datatype, (-1,) * value.ndim), value)
    except Misfit:
        assert not np.can_cast(value.dtype, wanted, "safe")
        return
    assert (cast.dtype, cast.shape) == (wanted, value.shape)
    for before, after in zip(value.ravel().tolist(), cast.ravel().tolist(), strict=True):
        if value.dtype.kind != "f" or wanted.kind != "f":
            assert before == after or abs(before) > 2**53  # numpy calls whole numbers to FP64 safe
        elif np.isfinite(before):
            assert after == wanted.type(before)
        else:
            assert str(before) == str(after)


anything = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
                        lambda inner: st.lists(inner, max_size=3), max_leaves=6)  # fmt: skip


@given(anything, st.sampled_from(list(DTYPES)))
def test_whatever_a_model_gives_is_an_array_or_a_misfit(value: Any, datatype: str) -> None:
    with suppress(Misfit):
        assert fitted(TensorSpec("y", datatype, (-1,)), value).dtype == DTYPES[datatype]
