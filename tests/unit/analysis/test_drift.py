"""A window against a profile: what is called a drift, what is not, and what is said to be broken."""

from __future__ import annotations

import numpy as np
import pytest

from mlpatterns.analysis.columns import ColumnValues, categories, numbers, numbers_in
from mlpatterns.analysis.drift import Drift, DriftThresholds, compare
from mlpatterns.analysis.profile import DataProfile, FieldProfile, profile, profile_of

NAMES = ["a", "b", "c", "d"]


def table(rows: int, seed: int, **moved: float) -> np.ndarray:
    x = np.random.default_rng(seed).normal(5.0, 1.0, size=(rows, 4))
    for name, by in moved.items():
        x[:, NAMES.index(name)] += by
    return x


def columns(x: np.ndarray) -> dict[str, ColumnValues]:
    return {name: numbers(name, x[:, i]) for i, name in enumerate(NAMES)}


def held(x: np.ndarray, **options: object) -> Drift:
    return compare(profile(table(500, 0), NAMES), columns(x), **options)  # type: ignore[arg-type]


def test_rows_of_the_same_kind_are_no_drift() -> None:
    found = held(table(300, 1))
    assert found.drifted == ()
    assert [field.problem for field in found.fields] == [""] * 4
    assert found.rows == 300


def test_a_column_that_moved_is_a_drift_and_the_others_are_not() -> None:
    found = held(table(300, 1, b=1.0))
    assert found.drifted == ("b",)
    field = found.fields[1]
    assert field.wasserstein == pytest.approx(1.0, abs=0.2)
    assert {test.name for test in field.tests if test.drifted} == {"ks", "psi"}
    assert all(test.q >= test.p for test in field.tests)


def test_a_difference_that_is_certain_but_small_is_no_drift() -> None:
    reference = profile(table(10_000, 0), NAMES)
    found = compare(reference, columns(table(100_000, 1, a=0.08)))
    ks = next(test for test in found.fields[0].tests if test.name == "ks")
    assert ks.q < 0.001
    assert found.drifted == ()
    assert compare(reference, columns(table(100_000, 1, a=0.08)), DriftThresholds(ks=0.01)).drifted == ("a",)


def test_a_large_difference_of_a_few_rows_is_no_drift() -> None:
    found = held(table(4, 3, a=0.8))
    assert max(test.effect for test in found.fields[0].tests) > 0.3
    assert found.drifted == ()


def test_an_index_of_few_rows_has_its_bias_taken_off() -> None:
    indices = [held(table(60, seed)).fields[0].psi or 0.0 for seed in range(15)]
    assert np.mean(indices) < 0.1  # uncorrected it is 9 x (1/60 + 1/500) = 0.17 on average


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (np.full(200, np.nan), "all values are missing"),
        (np.full(200, 4.9), "all values are 4.9"),
        (table(200, 1)[:, 2] * 10, "values are about 10 times what they were"),
        (table(200, 1)[:, 2] / 1000, "values are about 0.001 times what they were"),
        (np.where(np.arange(200) < 120, np.nan, 5.0), "all values are 5"),
    ],
)
def test_a_broken_column_is_told_in_words(broken: np.ndarray, said: str) -> None:
    x = table(200, 1)
    x[:, 2] = broken
    found = held(x)
    assert found.drifted == ("c",)
    assert found.fields[2].problem == said


def test_a_column_of_another_type_or_that_is_not_there_is_a_drift() -> None:
    given = columns(table(200, 1))
    given["d"] = numbers_in("d", ["high"] * 150 + [5.0] * 50)
    del given["a"]
    found = compare(profile(table(500, 0), NAMES), given)
    assert found.drifted == ("a", "d")
    assert [field.problem for field in found.fields if field.drifted] == [
        "the column is not there",
        "150 of 200 values are not numbers",
    ]


def test_missing_values_are_compared_with_those_that_were_missing_before() -> None:
    before, now = table(500, 0), table(200, 1)
    before[:100, 0] = np.nan
    now[:45, 0] = np.nan
    assert compare(profile(before, NAMES), columns(now)).drifted == ()
    now[:110, 0] = np.nan
    assert compare(profile(before, NAMES), columns(now)).drifted == ("a",)


def test_categories_by_chi_square_and_new_ones_by_name() -> None:
    colours = ["red"] * 250 + ["green"] * 150 + ["blue"] * 100
    reference = profile_of([categories("colour", colours)])
    random = np.random.default_rng(0)
    same = categories("colour", random.choice(colours, 200))
    assert compare(reference, {"colour": same}).drifted == ()
    other = categories("colour", ["blue"] * 100 + ["red"] * 50 + ["pink"] * 50)
    found = compare(reference, {"colour": other})
    assert found.drifted == ("colour",)
    assert found.fields[0].problem == "new values: 'pink'"
    assert [test.name for test in found.fields[0].tests] == ["chi_square"]


def test_outliers_are_a_drift_where_they_are_more_than_usual_and_many() -> None:
    x = table(200, 1)
    assert held(x, outliers=(24, 200)).drifted == ()
    found = held(x, outliers=(60, 200))
    assert found.drifted == ("outliers",)
    assert found.outliers is not None
    assert found.outliers.share == 0.3
    assert held(x, outliers=(0, 0)).outliers is None
    assert held(table(100_000, 1), outliers=(11_000, 100_000)).drifted == ()  # certain, and small


def test_quality_is_tested_where_the_usual_accuracy_is_known() -> None:
    x, known = table(200, 1), DriftThresholds(accuracy=0.9)
    assert held(x, wrong=(60, 200)).quality is None
    assert held(x, thresholds=known, wrong=(24, 200)).drifted == ()
    found = held(x, thresholds=known, wrong=(60, 200), outliers=(20, 200))
    assert found.drifted == ("quality",)
    assert found.outliers is not None
    assert not found.outliers.test.drifted


def test_an_older_profile_without_a_sample_is_compared_by_its_bins() -> None:
    x = table(500, 0)
    counts, edges = np.histogram(x[:, 0], bins=10)
    old = DataProfile(500, (FieldProfile("a", 500, 5.0, 1.0, x[:, 0].min(), x[:, 0].max(),
                                         edges=tuple(edges), counts=tuple(counts.tolist())),))  # fmt: skip
    for seed in range(5):
        same = compare(old, {"a": numbers("a", table(200, seed + 1)[:, 0])})
        assert same.drifted == ()
        assert [test.name for test in same.fields[0].tests] == ["psi"]
    assert compare(old, {"a": numbers("a", table(200, 1, a=1.0)[:, 0])}).drifted == ("a",)


def test_a_window_without_rows_says_nothing() -> None:
    found = compare(profile(table(500, 0), NAMES), columns(table(0, 1)))
    assert (found.rows, found.drifted) == (0, ())


def test_a_constant_reference_and_the_same_constant_are_no_drift() -> None:
    reference = profile(np.full((50, 1), 3.0), ["a"])
    assert compare(reference, {"a": numbers("a", np.full(100, 3.0))}).drifted == ()
    assert compare(reference, {"a": numbers("a", np.full(100, 4.0))}).drifted == ("a",)
