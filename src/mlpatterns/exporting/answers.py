"""The answers of an estimator with scikit-learn's methods, by the names of its outputs in the ONNX file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from msgspec import Struct

from mlpatterns.metadata import Array
from mlpatterns.user_errors import UserError

__all__ = ["OUTLIER", "EstimatorAnswers", "as_class", "estimator_answers", "output_names"]

OUTLIER = ("outlier", "inlier")  # labels of a score up to 0 and above 0, the same as in the trainings


class EstimatorAnswers(Struct):
    """Outputs by name, [rows, …], the primary output, class names by index, and the threshold of one score."""

    outputs: Mapping[str, Array]
    primary: str
    labels: tuple[str, ...] = ()
    threshold: float | None = None


def estimator_answers(model: Any, rows: Any) -> EstimatorAnswers:
    """The answers of a fitted estimator to `rows`. Errors of the estimator are not caught.

    A classifier gives ``label`` and ``probabilities``, or ``scores`` if it has only a decision function. A classifier
    with several outputs gives ``probabilities_0`` and so on. An outlier detector gives ``label`` (1 or -1) and
    ``scores``, a clusterer ``label`` and ``distances``, a regressor ``value``, a transformer ``transformed``.
    """
    from sklearn.base import is_classifier, is_outlier_detector

    if is_classifier(model):
        return _classified(model, rows)
    if is_outlier_detector(model):
        outputs = {"label": _label(model.predict(rows)), "scores": _columns(model.decision_function(rows))}
        return EstimatorAnswers(outputs, "scores", OUTLIER, 0.0)
    if hasattr(model, "predict") and hasattr(model, "transform") and hasattr(model, "labels_"):
        outputs = {"label": _label(model.predict(rows)), "distances": _columns(model.transform(rows))}
        return EstimatorAnswers(outputs, "label")
    if hasattr(model, "predict"):
        return EstimatorAnswers({"value": _columns(model.predict(rows))}, "value")
    if hasattr(model, "transform"):
        return EstimatorAnswers({"transformed": _columns(model.transform(rows))}, "transformed")
    raise UserError(f"a {type(model).__name__} neither predicts nor transforms; export a model that does")


def _classified(model: Any, rows: Any) -> EstimatorAnswers:
    label = _label(model.predict(rows))
    if not hasattr(model, "predict_proba") and not hasattr(model, "decision_function"):
        return EstimatorAnswers({"label": label}, "label", as_class(model.classes_))
    if not hasattr(model, "predict_proba"):
        scores = _columns(model.decision_function(rows))
        threshold = 0.0 if scores.shape[1] == 1 else None
        return EstimatorAnswers({"label": label, "scores": scores}, "scores", as_class(model.classes_), threshold)
    probabilities = model.predict_proba(rows)
    if label.ndim > 1 and not isinstance(probabilities, list):  # multilabel: the probability of each label
        return EstimatorAnswers({"label": label, "probabilities": _columns(probabilities)}, "probabilities")
    if isinstance(probabilities, list):
        several = {f"probabilities_{number}": _columns(value) for number, value in enumerate(probabilities)}
        return EstimatorAnswers({"label": label, **several}, "label")
    outputs = {"label": label, "probabilities": _columns(probabilities)}
    return EstimatorAnswers(outputs, "probabilities", as_class(model.classes_))


def as_class(classes: Any) -> tuple[str, ...]:
    """Class names as text; 1.0 becomes ``1``."""
    return tuple(str(int(name)) if isinstance(name, float) and name.is_integer() else str(name)
                 for name in np.asarray(classes).tolist())  # fmt: skip


def output_names(outputs: Mapping[str, Array], inputs: Mapping[str, Array]) -> dict[str, str]:
    """The name in the graph for each output. It differs from all input names: a column may be called ``label`` too."""
    names = {}
    for name in outputs:
        other = name
        while other in inputs:
            other = f"predicted_{other}"
        names[name] = other
    return names


def _label(answer: Any) -> Array:
    label: Array = np.asarray(answer)
    if label.dtype.kind in "USO":
        return label.astype(str).astype(object)
    return label.astype(np.int64)


def _columns(answer: Any) -> Array:
    """The answer as [rows, n], floats as float32, as the graph gives it. Sparse matrices become dense."""
    values: Array = np.asarray(answer.toarray() if hasattr(answer, "toarray") else answer)
    if values.dtype.kind in "USO":
        values = values.astype(str).astype(object)
    values = values.astype(np.float32) if values.dtype.kind == "f" else values
    return values.reshape(-1, 1) if values.ndim == 1 else values
