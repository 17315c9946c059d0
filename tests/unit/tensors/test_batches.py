"""Rows of several requests in one batch, and each request's own out of the answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlpatterns.errors import InternalError
from mlpatterns.metadata import DTYPES
from mlpatterns.tensors import batch_size, read_only, stack, unstack
from unit.tensors.arrays import arrays, same


@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=5),
    st.dictionaries(st.text(max_size=3), st.tuples(st.sampled_from(sorted(DTYPES)), st.integers(0, 3)), max_size=3),
    st.data(),
)
def test_what_was_stacked_comes_back_row_by_row(
    sizes: list[int], tensors: dict[str, tuple[str, int]], data: st.DataObject
) -> None:
    requests: list[dict[str, Any]] = [
        {name: data.draw(arrays((rows, width), datatype)) for name, (datatype, width) in tensors.items()}
        for rows in sizes
    ]
    batch = stack(requests)
    if tensors:
        assert batch_size(batch) == sum(sizes)
    parts = unstack(batch, sizes)
    assert [list(part) for part in parts] == [list(tensors)] * len(sizes)
    for part, request in zip(parts, requests, strict=True):
        for name, value in request.items():
            assert same(part[name], value)


@pytest.mark.parametrize(
    ("output", "found"), [(np.ones((4, 2)), "4 rows"), (np.float32(1), "no batch axis"), (np.ones(2), "2 rows")]
)
def test_an_answer_without_a_row_for_each_row_is_the_models_fault(output: Any, found: str) -> None:
    with pytest.raises(InternalError, match=f"the model gave {found} in output 'y' for 3 rows of input"):
        unstack({"y": np.asarray(output)}, [1, 2])


def test_the_batch_of_what_has_no_axis_is_one() -> None:
    assert batch_size({}) == batch_size({"x": np.array(1)}) == 1
    assert batch_size({"x": np.ones((0, 4))}) == 0


def test_a_read_only_view_protects_its_array() -> None:
    array = np.zeros(2)
    view = read_only(array)
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 1
    array[0] = 1
    assert view[0] == 1
