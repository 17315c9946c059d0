"""Trainings on iris."""

from __future__ import annotations

from typing import Any

from mlpatterns.predictor import TensorSpec
from mlpatterns.training.calibrated_svc import export_calibrated_svc
from mlpatterns.training.datasets import iris
from mlpatterns.training.declare import Training

__all__ = ["SVC"]

FOLDS = 5  # of the cross-validation that calibrates; each class needs as many rows


def svc(seed: int) -> Any:
    """A support vector classifier on standardised columns, its scores calibrated to probabilities (Platt, 1999) by
    cross-validation; one SVC serves (`ensemble=False`), as ``SVC(probability=True)`` once did."""
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    return make_pipeline(StandardScaler(), CalibratedClassifierCV(SVC(random_state=seed), cv=FOLDS, ensemble=False))


SVC = Training(
    name="iris_sklearn_svc",
    description="The species of an iris from four lengths: a calibrated support vector classifier",
    load=iris,
    estimator=svc,
    outputs=(TensorSpec("label", "INT64", (-1,)), TensorSpec("probabilities", "FP32", (-1, 3))),
    primary_output="probabilities",
    sample=(5.1, 3.5, 1.4, 0.2),
    least=FOLDS,
    export=export_calibrated_svc,
)
