"""From records to windows: each row in one window of its version, no row twice."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlpatterns.context import Note
from mlpatterns.programs.monitor_windows import MOST_OPEN, WindowBuilder, cells_by_column
from mlpatterns.stores.log import Record
from mlpatterns.stores.monitor import OpenWindow


def record(at: float, value: float = 0.0, version: str = "1", **outputs: Any) -> Record:
    return Record("id", at, "p", "done", 0.1, "m", version, inputs={"x": [[value]]}, outputs=outputs)


def gatherer(**options: Any) -> WindowBuilder:
    return WindowBuilder(
        **{"interval": 10.0, "min_rows": 2, "max_rows": 100, "fields": (), "outliers": "flag", **options}
    )


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 15), st.sampled_from("ab")), max_size=60), st.integers(1, 5))
def test_every_row_is_in_one_window_of_its_version_and_windows_do_not_overlap(steps: Any, least: int) -> None:
    gathering, complete, at = gatherer(min_rows=least), list[OpenWindow](), 0.0
    given_rows: dict[str, list[float]] = {"a": [], "b": []}
    for number, (step, version) in enumerate(steps):
        at += step
        given_rows[version].append(float(number))
        complete += gathering.add(record(at, number, version))
    complete += gathering.due(at)
    for window in complete:
        assert window.rows >= least
    for version, rows in given_rows.items():
        of_version = [window for window in [*complete, *gathering.open.values()] if window.version == version]
        assert [value for window in of_version for value in window.columns["x"]] == rows
        assert all(before.ended <= after.began for before, after in pairwise(of_version))


def test_a_window_ends_when_it_is_long_enough_and_has_enough_rows() -> None:
    gathering = gatherer()
    assert list(gathering.add(record(0.0))) == []
    assert list(gathering.add(record(30.0))) == []  # long enough, and one row so far
    done = list(gathering.add(record(31.0)))
    assert [(window.began, window.ended, window.records, window.rows) for window in done] == [(0.0, 30.0, 2, 2)]
    assert list(gathering.due(40.9)) == []
    gathering.add(record(32.0))
    assert [window.rows for window in gathering.due(41.0)] == [2]
    assert gathering.open == {}


def test_of_more_rows_a_sample_is_kept_and_all_are_counted() -> None:
    gathering = gatherer(max_rows=50, interval=1e9)
    for number in range(1000):
        gathering.add(record(float(number), float(number), flag=[number % 4 == 0]))
    window = gathering.open["m:1"]
    kept = window.columns["x"]
    assert (window.rows, len(kept), window.judged, window.outliers) == (1000, 50, 1000, 250)
    assert 350 < sum(kept) / 50 < 650  # type: ignore[arg-type]
    assert len(set(kept)) == 50


def test_flags_that_were_noted_count_where_the_output_was_not_asked_for() -> None:
    gathering = gatherer(interval=1e9)
    noted = (Note("p", "ms", 1.0), Note("p/check", "flag", [True, False]))
    gathering.add(Record("id", 0.0, "p", "done", 0.1, "m", "1", inputs={"x": [[1.0], [2.0]]}, notes=noted))
    gathering.add(record(0.0, flag=[True]))
    window = gathering.open["m:1"]
    assert (window.outliers, window.judged) == (2, 3)


def test_a_sample_keeps_rows_whole() -> None:
    gathering = gatherer(max_rows=10, interval=1e9)
    for number in range(200):
        gathering.add(Record("id", 0.0, "p", "done", 0.1, "m", "1", inputs={"x": [[number, -number]]}))
    columns = gathering.open["m:1"].columns
    assert [-cell for cell in columns["x[0]"]] == columns["x[1]"]  # type: ignore[operator]


def test_a_column_that_comes_later_or_goes_is_missing_elsewhere() -> None:
    gathering = gatherer(interval=1e9)
    for inputs in ({"a": [1.0]}, {"a": [2.0], "b": ["x"]}, {"b": ["y"]}, {}, None):
        gathering.add(Record("id", 0.0, "p", "done", 0.1, "m", "1", inputs=inputs))
    window = gathering.open["m:1"]
    assert window.columns == {"a": [1.0, 2.0, None], "b": [None, "x", "y"]}
    assert (window.records, window.rows) == (5, 3)


def test_the_open_windows_of_many_versions_are_bounded() -> None:
    gathering = gatherer()
    for number in range(MOST_OPEN + 10):
        gathering.add(record(float(number), version=str(number)))
    assert len(gathering.open) == MOST_OPEN
    assert "m:0" not in gathering.open


@pytest.mark.parametrize(
    ("inputs", "columns"),
    [
        ({"x": [[1, 2], [3, 4]]}, {"a": [1.0, 3.0], "b": [2.0, 4.0]}),
        ({"x": [[1, 2, 3]]}, {"x[0]": [1.0], "x[1]": [2.0], "x[2]": [3.0]}),
        ({"key": ["k", "l"], "n": [[1], [None]]}, {"key": ["k", "l"], "n": [1.0, None]}),
        ({"yes": [True, False]}, {"yes": ["true", "false"]}),
        (
            {
                "image": {"bytes": 3, "sha256": "00"},
                "gone": None,
                "ragged": [[1], [2, 3]],
                "deep": [[[1]]],
                "empty": [],
            },
            {},
        ),
        ({"a": [[1, 2]], "x": [[3, 4]]}, {"a[0]": [1.0], "a[1]": [2.0], "b": [4.0]} | {"a": [3.0]}),
    ],
)
def test_inputs_as_columns(inputs: Any, columns: Any) -> None:
    assert cells_by_column(inputs, ("a", "b")) == columns


leaves = st.none() | st.booleans() | st.floats() | st.text(max_size=2)
tensors = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner))


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.text(max_size=3), tensors, max_size=3))
def test_whatever_a_log_holds_becomes_columns_or_nothing(inputs: Any) -> None:
    for cells in cells_by_column(inputs, ("a", "b")).values():
        assert all(cell is None or isinstance(cell, float | str) for cell in cells)
