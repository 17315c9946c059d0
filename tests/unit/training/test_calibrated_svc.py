"""The short form of a calibrated SVC answers as scikit-learn does, everywhere and not only where there is data."""

from __future__ import annotations

import io

import numpy as np
import onnx
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from mlpatterns.metadata import TensorSpec
from mlpatterns.training.calibrated_svc import export_calibrated_svc
from mlpatterns.training.parity import run_onnx
from mlpatterns.user_errors import UserError

SPEC = TensorSpec("input", "FP32", (-1, 4))


def outputs(classes: int) -> tuple[TensorSpec, ...]:
    return TensorSpec("label", "INT64", (-1,)), TensorSpec("probabilities", "FP32", (-1, classes))


@pytest.mark.parametrize(("classes", "seed"), [(2, 0), (2, 1), (3, 0), (3, 1), (3, 2), (4, 3), (5, 4)])
def test_it_answers_as_scikit_learn_does_on_rows_far_from_the_data_too(classes: int, seed: int) -> None:
    x, y = make_classification(
        200, 4, n_informative=4, n_redundant=0, n_classes=classes, n_clusters_per_class=1, random_state=seed
    )
    x = x.astype(np.float32)
    fitted = make_pipeline(StandardScaler(), CalibratedClassifierCV(SVC(random_state=seed), ensemble=False)).fit(x, y)
    model = export_calibrated_svc(fitted, SPEC, outputs(classes), name="shapes")
    far = np.concatenate([x, np.random.default_rng(seed).uniform(-9, 9, (500, 4)).astype(np.float32)])
    answers = run_onnx(model, {"input": far})
    expected = fitted.predict_proba(far)
    assert np.abs(answers["probabilities"] - expected).max() < 1e-5
    best_two = np.sort(expected, axis=1)[:, -2:]
    clear = best_two[:, 1] - best_two[:, 0] > 1e-5  # where two classes tie, float32 may name the other
    np.testing.assert_array_equal(answers["label"][clear], fitted.predict(far)[clear])


@pytest.mark.parametrize(("classes", "nodes"), [(2, 5), (3, 12)])
def test_it_is_short(classes: int, nodes: int) -> None:
    x, y = make_classification(90, 4, n_informative=4, n_redundant=0, n_classes=classes, n_clusters_per_class=1)
    fitted = make_pipeline(StandardScaler(), CalibratedClassifierCV(SVC(), ensemble=False)).fit(x, y)
    model = onnx.load(io.BytesIO(export_calibrated_svc(fitted, SPEC, outputs(classes), name="shapes")))
    assert len(model.graph.node) == nodes


@pytest.mark.parametrize("estimator", [LogisticRegression(), CalibratedClassifierCV(SVC(), ensemble=True)])
def test_another_estimator_is_refused(estimator: object) -> None:
    x, y = make_classification(90, 4, n_informative=4, n_redundant=0, n_classes=3, n_clusters_per_class=1)
    with pytest.raises(UserError, match="ensemble=False"):
        export_calibrated_svc(make_pipeline(StandardScaler(), estimator).fit(x, y), SPEC, outputs(3), name="shapes")
