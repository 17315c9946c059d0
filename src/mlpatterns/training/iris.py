"""Trainings on iris."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from mlpatterns.metadata import TensorSpec
from mlpatterns.training.calibrated_svc import export_calibrated_svc
from mlpatterns.training.datasets import Dataset, iris, one_against_rest
from mlpatterns.training.declare import Options, Training
from mlpatterns.training.forest import export_forest
from mlpatterns.training.outlier import (
    LABELS,
    OUTPUTS,
    export_one_class_svm,
    outlier_answers,
    outlier_margin,
    outlier_metrics,
)
from mlpatterns.user_errors import MissingExtra

__all__ = ["BINARY", "FOREST", "OUTLIER", "SVC", "BinaryOptions"]

FOLDS = 5  # of the cross-validation for calibration; each class needs at least as many rows
SAMPLE = (5.1, 3.5, 1.4, 0.2)
SPECIES = ("setosa", "versicolor", "virginica")


class BinaryOptions(Options, frozen=True, forbid_unknown_fields=True):
    """The options of iris_binary, including the species to distinguish from the others."""

    target_iris: str = "setosa"


def classes(count: int) -> tuple[TensorSpec, ...]:
    """The outputs of a classifier: the number of the most probable class, and the probability of each class."""
    return TensorSpec("label", "INT64", (-1,)), TensorSpec("probabilities", "FP32", (-1, count))


def svc(seed: int) -> Any:
    """A support vector classifier on standardised columns. Cross-validation calibrates its scores to probabilities
    (Platt, 1999). The model contains one SVC (`ensemble=False`), as ``SVC(probability=True)`` once did."""
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    return make_pipeline(StandardScaler(), CalibratedClassifierCV(SVC(random_state=seed), cv=FOLDS, ensemble=False))


def forest(seed: int) -> Any:
    """A random forest on standardised columns.

    A tree tests whether a value is at most a threshold, so the last bit can matter. Scaling is done in float64 and its
    result rounded once to float32, the type in which a scikit-learn forest works. `export_forest` preserves this
    exactly.
    """
    try:
        from skl2onnx.sklapi import CastTransformer
    except ImportError as error:
        raise MissingExtra("training", "train") from error
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(
        CastTransformer(dtype=np.float64), StandardScaler(), CastTransformer(dtype=np.float32),
        RandomForestClassifier(n_estimators=50, random_state=seed),
    )  # fmt: skip


def one_class_svm(_seed: int) -> Any:
    """A one-class support vector machine on standardised columns (Schölkopf and others, 2001). `nu` bounds the share
    of training rows that it calls outliers. It is not random: the seed affects only the split."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import OneClassSVM

    return make_pipeline(StandardScaler(), OneClassSVM(nu=0.1, gamma="scale"))


def against_rest(data: Dataset, options: BinaryOptions) -> Dataset:
    """Iris in two classes, the target first."""
    return one_against_rest(data, options.target_iris)


# The fields that all trainings on iris share, and those that all classifiers among them share.
on_iris = partial(Training, load=iris, sample=SAMPLE)
classifier = partial(on_iris, primary_output="probabilities")
calibrated = partial(classifier, estimator=svc, least=FOLDS, export=export_calibrated_svc)

SVC = calibrated(
    name="iris_sklearn_svc",
    description="The species of an iris from four lengths: a calibrated support vector classifier",
    outputs=classes(3),
)

FOREST = classifier(
    name="iris_sklearn_rf",
    description="The species of an iris from four lengths: a random forest",
    estimator=forest,
    outputs=classes(3),
    export=export_forest,
)

OUTLIER = on_iris(
    name="iris_sklearn_outlier",
    description="Whether four lengths are unlike those of the irises trained on: a one-class support vector machine",
    estimator=one_class_svm,
    outputs=OUTPUTS,
    primary_output="score",
    labels=LABELS,
    threshold=0.0,  # of the decision function
    answers=outlier_answers,
    margin=outlier_margin,
    metrics=outlier_metrics,
    export=export_one_class_svm,
)

BINARY = calibrated(
    name="iris_binary",
    description="Whether an iris is of one species, from four lengths: a calibrated support vector classifier",
    outputs=classes(2),
    options=BinaryOptions,
    variant_option="target_iris",
    variants=SPECIES,
    adapt=against_rest,
)
