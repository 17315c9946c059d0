"""Data sets: what iris is, its digest, and the split."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from msgspec.structs import replace

from mlpatterns.training.datasets import Dataset, dataset_digest, iris, one_against_rest, stratified_split
from mlpatterns.user_errors import MissingExtra, UserError


@pytest.fixture(scope="module")
def data() -> Dataset:
    return iris()


def test_iris_is_150_flowers_of_three_species_with_four_lengths(data: Dataset) -> None:
    assert (data.x.shape, str(data.x.dtype), str(data.y.dtype)) == ((150, 4), "float32", "int64")
    assert data.fields == ("sepal_length", "sepal_width", "petal_length", "petal_width")
    assert data.labels == ("setosa", "versicolor", "virginica")
    assert data.x[0].tolist() == np.array([5.1, 3.5, 1.4, 0.2], dtype=np.float32).tolist()


def test_the_digest_of_iris_is_known(data: Dataset) -> None:
    assert dataset_digest(data) == "102aa177f3c2ab6ce7996fa0c4b7f8db520a22c3efb9b1e2a9c47b1d4db47e95"


def test_the_digest_does_not_depend_on_how_arrays_lie_in_memory(data: Dataset) -> None:
    other = replace(data, x=np.asfortranarray(data.x), y=data.y.astype(">i8"))
    assert dataset_digest(other) == dataset_digest(data)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "iris2"},
        {"fields": ("a", "b", "c", "d")},
        {"labels": ("a", "b", "c")},
        {"x": np.zeros((150, 4), np.float32)},
        {"y": np.zeros(150, np.int64)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_the_digest_changes_with_everything_that_is_data(data: Dataset, change: dict[str, object]) -> None:
    assert dataset_digest(replace(data, **change)) != dataset_digest(data)


def test_a_split_keeps_every_row_once_and_every_class_in_proportion(data: Dataset) -> None:
    split = stratified_split(data, test_size=0.3, seed=0)
    assert (len(split.x_train), len(split.x_test)) == (105, 45)
    assert np.bincount(split.y_test).tolist() == [15, 15, 15]
    both = np.concatenate([split.x_train, split.x_test])
    assert sorted(map(tuple, both.tolist())) == sorted(map(tuple, data.x.tolist()))


def test_the_seed_decides_the_split(data: Dataset) -> None:
    first, again, other = (stratified_split(data, test_size=0.3, seed=seed).x_test for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(
    ("test_size", "text"),
    [(0.001, "leaves one part of iris without a class"), (0.95, "rows of a class to train on, but 5 are needed")],
)
def test_a_share_that_leaves_too_few_rows_is_refused(data: Dataset, test_size: float, text: str) -> None:
    with pytest.raises(UserError, match=text):
        stratified_split(data, test_size=test_size, seed=0, least=5)


def test_without_scikit_learn_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(MissingExtra, match=r"training needs an extra: pip install 'mlpatterns\[train\]'"):
        iris()


def test_one_against_the_rest_has_the_label_first_and_is_another_data_set() -> None:
    data = one_against_rest(iris(), "versicolor")
    assert (data.name, data.labels) == ("iris_versicolor", ("versicolor", "other"))
    assert np.flatnonzero(data.y == 0).tolist() == list(range(50, 100))
    assert np.bincount(data.y).tolist() == [50, 100]
    assert dataset_digest(data) != dataset_digest(iris())
