"""Trainings on digits: a fast model, a slower and more accurate one, and one for each half of the digits."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from mlpatterns.metadata import Array, TensorSpec
from mlpatterns.training.calibrated_svc import export_calibrated_svc
from mlpatterns.training.datasets import Dataset, digits
from mlpatterns.training.declare import Options, Training
from mlpatterns.training.linear import export_logistic

__all__ = ["ACCURATE", "FAST", "HALVES", "HalfOptions", "shifted"]

SIDE, FOLDS = 8, 2
OTHER = "other"
FIRST = {"low": 0, "high": 5}  # the first of the five digits that the model of a half knows
DIRECTIONS = ((0, 1), (0, -1), (1, 0))  # (down, right) in pixels; a fourth costs time and adds no accuracy

# A handwritten 0, the first image of the data set: grey values from 0 to 16, one image line per source line.
ZERO = (
    0, 0, 5, 13, 9, 1, 0, 0,
    0, 0, 13, 15, 10, 15, 5, 0,
    0, 3, 15, 2, 0, 11, 8, 0,
    0, 4, 12, 0, 0, 8, 8, 0,
    0, 5, 8, 0, 0, 9, 8, 0,
    0, 4, 11, 0, 1, 12, 7, 0,
    0, 2, 14, 5, 10, 12, 0, 0,
    0, 0, 6, 13, 10, 0, 0, 0,
)  # fmt: skip


class HalfOptions(Options, frozen=True, forbid_unknown_fields=True):
    """The options of the training on a half, including the half of the digits that its model knows."""

    half: str = "low"


class Shifted:
    """Fits an estimator on every image and on copies that are moved by one pixel.

    `fit` returns the inner estimator, so that the fitted model does not contain this class.
    """

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator

    def fit(self, x: Array, y: Array) -> Any:
        return self.estimator.fit(shifted(x), np.repeat(y, 1 + len(DIRECTIONS)))


def shifted(x: Array) -> Array:
    """Each image of `x` [images, 64], followed by its copies moved right, left and down by one pixel."""
    images = x.reshape(-1, SIDE, SIDE)
    framed = np.pad(images, ((0, 0), (1, 1), (1, 1)))
    moved = [framed[:, 1 - down : 1 - down + SIDE, 1 - right : 1 - right + SIDE] for down, right in DIRECTIONS]
    return np.stack([images, *moved], axis=1).reshape(-1, SIDE * SIDE)


def linear(seed: int) -> Any:
    """A logistic regression, regularised so strongly that its accuracy is about 0.9: one small matrix product."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=0.0256, max_iter=1000, random_state=seed)


def svc(seed: int, folds: int = 5) -> Any:
    """A support vector classifier with a Gaussian kernel, its scores calibrated by cross-validation (Platt, 1999)."""
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.model_selection import KFold
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import SVC

    svc = SVC(C=3, gamma=0.25, random_state=seed)
    # A fold is a block of consecutive rows, so an image and its shifted copies are in one fold, except at a boundary.
    return make_pipeline(CalibratedClassifierCV(svc, cv=KFold(folds), ensemble=False))


def svc_on_shifted(seed: int) -> Any:
    """The same classifier on four times the images: more accurate, but it evaluates thousands of kernels per row."""
    return Shifted(svc(seed, FOLDS))


def half(data: Dataset, options: HalfOptions) -> Dataset:
    """The same images, where all those of the other half form one class, the last."""
    first = FIRST[options.half]
    known = [str(digit) for digit in range(first, first + 5)]
    own = (data.y >= first) & (data.y < first + 5)
    y = np.where(own, data.y - first, len(known)).astype(np.int64)
    return Dataset(f"{data.name}_{options.half}", data.x, y, data.fields, (*known, OTHER))


def classes(count: int) -> tuple[TensorSpec, ...]:
    """The outputs of a classifier: the number of the most probable class, and the probability of each class."""
    return TensorSpec("label", "INT64", (-1,)), TensorSpec("probabilities", "FP32", (-1, count))


on_digits = partial(
    Training, load=digits, sample=tuple(shade / 16 for shade in ZERO), primary_output="probabilities", least=5
)

FAST = on_digits(
    name="digits_fast",
    description="The digit on an image of 8x8 pixels: logistic regression, fast, and right nine times in ten",
    estimator=linear,
    outputs=classes(10),
    export=export_logistic,
)

ACCURATE = on_digits(
    name="digits_accurate",
    description="The digit on an image of 8x8 pixels: a support vector classifier, right 98 times in a hundred, slower",
    estimator=svc_on_shifted,
    outputs=classes(10),
    export=export_calibrated_svc,
)

HALVES = on_digits(
    name="digits",
    description="Which of five digits is on an image of 8x8 pixels, or another: a support vector classifier",
    estimator=svc,
    outputs=classes(6),
    export=export_calibrated_svc,
    options=HalfOptions,
    variant_option="half",
    variants=tuple(FIRST),
    adapt=half,
)
