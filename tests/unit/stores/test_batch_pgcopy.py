"""PostgreSQL's binary COPY: what is written is read, and what is no such bytes is not taken for any."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlpatterns.stores.batch import cells
from mlpatterns.stores.batch.pgcopy import read_binary, write_binary

ROWS = st.lists(st.tuples(st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False)), max_size=20)


@given(ROWS)
@settings(max_examples=100, deadline=None)
def test_what_is_written_is_read(rows: list[tuple[int, float]]) -> None:
    keys, scores = [key for key, _ in rows], np.array([score for _, score in rows], float)
    data = write_binary([np.array(keys, np.int64), scores], ["int", "float"])
    assert data is not None
    found = read_binary(data, ["int", "float"])
    assert found is not None
    assert [list(cells(column)) for column in found] == [keys, scores.tolist()]


@given(st.binary(max_size=120), ROWS)
@settings(max_examples=80, deadline=None)
def test_other_bytes_are_columns_of_one_length_or_none(data: bytes, rows: list[tuple[int, float]]) -> None:
    whole = write_binary(
        [np.array([k for k, _ in rows], np.int64), np.array([s for _, s in rows], float)], ["int", "float"]
    )
    assert whole is not None
    for given_bytes in (data, whole[:-2] + data + whole[-2:], whole[: len(data)]):
        found = read_binary(given_bytes, ["int", "float"])
        assert found is None or len(found[0]) == len(found[1])


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (["a"], "int"),
        ([None], "int"),
        ([1.5], "int"),
        (np.array([1], np.uint64), "int"),
        ([1], "text"),
        (["1"], "float"),
    ],
)
def test_a_column_that_is_no_number_of_its_kind_is_not_written(column: object, kind: str) -> None:
    assert write_binary([[1], column], ["int", kind]) is None  # type: ignore[list-item]
