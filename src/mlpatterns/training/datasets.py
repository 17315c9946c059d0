"""Data sets for training. All of them ship with scikit-learn, so training works offline."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from msgspec import Struct

from mlpatterns.metadata import Array
from mlpatterns.user_errors import MissingExtra, WrongUse

__all__ = ["DataSplit", "Dataset", "dataset_digest", "digits", "iris", "one_against_rest", "stratified_split"]


class Dataset(Struct, frozen=True):
    """A table of samples.

    Attributes:
        x: float32, [rows, fields].
        y: int64 class numbers, [rows]; indices into `labels`.
        fields: the column names.
        labels: the class names.
    """

    name: str
    x: Array
    y: Array
    fields: tuple[str, ...]
    labels: tuple[str, ...]


class DataSplit(Struct, frozen=True):
    """A data set, split into two parts that share no row."""

    x_train: Array
    x_test: Array
    y_train: Array
    y_test: Array


def iris() -> Dataset:
    """Fisher's iris: 150 flowers, 4 lengths in cm, 3 species.

    The values are float32, as in the requests to a served model.

    Raises:
        MissingExtra: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_iris
    except ImportError as error:
        raise MissingExtra("training", "train") from error
    loaded: Any = load_iris()
    fields = ("sepal_length", "sepal_width", "petal_length", "petal_width")
    labels = tuple(str(label) for label in loaded.target_names)
    return Dataset("iris", loaded.data.astype(np.float32), loaded.target.astype(np.int64), fields, labels)


def digits() -> Dataset:
    """Handwritten digits (Alpaydin and Kaynak, 1998): 1797 images of 8x8 grey values from 0 (paper) to 1 (ink).

    A row is an image, line by line. The rows are in the order of the digits.

    Raises:
        MissingExtra: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise MissingExtra("training", "train") from error
    loaded: Any = load_digits()
    order = np.argsort(loaded.target, kind="stable")
    x, y = (loaded.data[order] / 16).astype(np.float32), loaded.target[order].astype(np.int64)
    return Dataset("digits", x, y, tuple(loaded.feature_names), tuple(map(str, range(10))))


def one_against_rest(data: Dataset, label: str) -> Dataset:
    """The same rows in two classes: 0 is `label`, so that its probability comes first; 1 is ``other``, all the rest."""
    others = (data.y != data.labels.index(label)).astype(np.int64)
    return Dataset(f"{data.name}_{label}", data.x, others, data.fields, (label, "other"))


def dataset_digest(data: Dataset) -> str:
    """The SHA-256, in hex, of the names, shapes and little-endian bytes of `x` and `y`: equal on every machine."""
    state = hashlib.sha256()
    for name in (data.name, *data.fields, "", *data.labels):
        state.update(name.encode() + b"\0")
    for array, kind in ((data.x, "<f4"), (data.y, "<i8")):
        state.update(repr(array.shape).encode())
        state.update(np.ascontiguousarray(array, dtype=kind).tobytes())
    return state.hexdigest()


def stratified_split(data: Dataset, *, test_size: float, seed: int, least: int = 1) -> DataSplit:
    """Splits randomly by a seed so that each class has the same share in both parts.

    Args:
        test_size: the share of test rows, between 0 and 1.
        least: the number of rows of each class that the training needs.

    Raises:
        WrongUse: a part would have too few rows of a class.
    """
    from sklearn.model_selection import train_test_split

    try:
        parts = train_test_split(data.x, data.y, test_size=test_size, random_state=seed, stratify=data.y)
    except ValueError as error:
        raise WrongUse(f"test_size {test_size} leaves one part of {data.name} without a class; try 0.3") from error
    split = DataSplit(*parts)
    for part, y, wanted in (("train", split.y_train, least), ("test", split.y_test, 1)):
        fewest = np.bincount(y, minlength=len(data.labels)).min()
        if fewest < wanted:
            raise WrongUse(
                f"test_size {test_size} leaves {fewest} rows of a class to {part} on, but {wanted} are needed; try 0.3"
            )
    return split
