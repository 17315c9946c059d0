"""The data profile: figures of each column, and what cannot be profiled."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from mlpatterns.analysis.columns import categories
from mlpatterns.analysis.profile import DataProfile, profile, profile_of
from mlpatterns.user_errors import UserError


def test_a_column_has_the_figures_worked_out_by_hand() -> None:
    field = profile(np.arange(11, dtype=np.float32).reshape(-1, 1), ["length"]).fields[0]
    assert (field.name, field.count, field.mean, field.min, field.max) == ("length", 11, 5.0, 0.0, 10.0)
    assert field.std == pytest.approx(11**0.5)
    assert field.quantiles["0.5"] == 5.0
    assert field.quantiles["0.9"] == 9.0
    assert field.cuts == (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0)
    assert field.counts == (2, 1, 1, 1, 1, 1, 1, 1, 1, 1)
    assert field.sample == tuple(map(float, range(11)))


def test_classes_are_counted_by_name() -> None:
    made = profile(np.zeros((3, 1)), ["x"], np.array([0, 1, 1]), ["no", "yes", "never"])
    assert made.classes == {"no": 1, "yes": 2, "never": 0}


def test_a_constant_column_and_a_single_row_have_a_profile() -> None:
    field = profile(np.full((1, 1), 3.0), ["x"]).fields[0]
    assert (field.std, sum(field.counts)) == (0.0, 1)


def test_large_float32_columns_do_not_lose_digits() -> None:
    x = np.full((10_000, 1), 16_777_217, dtype=np.float64).astype(np.float32)
    assert profile(x, ["x"]).fields[0].mean == float(x[0, 0])


def test_a_profile_survives_json() -> None:
    made = profile(np.random.default_rng(0).normal(size=(20, 2)), ["a", "b"])
    assert msgspec.json.decode(msgspec.json.encode(made), type=DataProfile) == made


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (np.zeros((0, 1)), "not an array of shape"),
        (np.zeros((2, 2)), "rows of 1 columns"),
        (np.zeros(3), "not an array of shape"),
        (np.array([[np.nan]]), "x has none"),
        (np.array([[np.inf]]), "finite numbers"),
    ],
)
def test_what_cannot_be_profiled_is_refused(x: np.ndarray, text: str) -> None:
    with pytest.raises(UserError, match=text):
        profile(x, ["x"])


def test_bins_hold_as_many_each_and_fewer_bins_are_made_where_values_are_equal() -> None:
    field = profile(np.random.default_rng(0).normal(size=(105, 1)), ["x"]).fields[0]
    assert len(field.counts) == 10
    assert set(field.counts) == {10, 11}
    few = profile(np.array([[0.0]] * 60 + [[1.0]] * 30 + [[2.0]] * 10), ["x"]).fields[0]
    assert (few.cuts, few.counts) == ((0.0, 1.0), (60, 30, 10))
    assert profile(np.full((5, 1), 3.0), ["x"]).fields[0].counts == (5,)


def test_missing_values_are_counted_and_are_no_values() -> None:
    field = profile(np.array([[1.0], [np.nan], [3.0]]), ["x"]).fields[0]
    assert (field.count, field.missing, field.mean) == (2, 1, 2.0)


def test_the_sample_is_bounded_optional_and_always_the_same() -> None:
    x = np.random.default_rng(0).normal(size=(20_000, 2))
    one, two = profile(x, ["a", "b"]), profile(x, ["a", "b"])
    assert one == two
    assert len(one.fields[0].sample) == 10_000
    assert profile(x, ["a", "b"], sample=0).fields[1].sample == ()
    assert len(profile(np.zeros((2000, 1000)), [str(i) for i in range(1000)]).fields[0].sample) == 1000


def test_categories_are_counted_and_the_rarest_left_out() -> None:
    made = profile_of([categories("colour", ["red"] * 3 + ["blue", None])])
    field = made.fields[0]
    assert (field.kind, field.categories, field.missing, made.rows) == ("category", {"blue": 1, "red": 3}, 1, 5)
    many = profile_of([categories("id", map(str, range(500)))]).fields[0]
    assert (len(many.categories), many.count) == (100, 500)


def test_a_profile_of_an_older_version_is_read_and_its_bins_are_the_same() -> None:
    old = b"""{"rows": 4, "fields": [{"name": "x", "count": 4, "mean": 1.5, "std": 1.3, "min": 0.0, "max": 3.0,
        "quantiles": {"0.5": 1.5}, "edges": [0.0, 1.0, 2.0, 3.0], "counts": [1, 1, 2]}], "classes": {"a": 4}}"""
    field = msgspec.json.decode(old, type=DataProfile).fields[0]
    assert np.bincount(np.searchsorted(field.ends, [0.0, 1.0, 2.0, 3.0])).tolist() == [1, 1, 2]
