"""Models for the server's tests: quick, exact, and shaped like the book's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mlpatterns.metadata import Array, TensorSpec
from mlpatterns.models.python.python import PythonModel

FIELDS = ("sepal_length", "sepal_width", "petal_length", "petal_width")
LABELS = ("setosa", "versicolor", "virginica")
SAMPLE = {"input": np.array([[5.1, 3.5, 1.4, 0.2]], np.float32)}


def iris_scores(_: None, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
    """Scores by petal length: exact in binary, so that a golden answer can be written down."""
    length = inputs["input"][:, 2]
    scores = np.where(length[:, None] < 2.5, [[0.75, 0.125, 0.125]], [[0.125, 0.25, 0.625]])
    return {"probabilities": scores.astype(np.float32)}


def iris(**options: Any) -> PythonModel:
    """Four named columns in, three scores out, like the book's iris models."""
    settings: dict[str, Any] = {
        "inputs": [TensorSpec("input", "FP32", (-1, 4), fields=FIELDS)],
        "outputs": [TensorSpec("probabilities", "FP32", (-1, 3))],
        "labels": LABELS,
        "sample": SAMPLE,
        "name": "iris",
        "version": "3",
    }
    return PythonModel(lambda: None, options.pop("predict", iris_scores), **{**settings, **options})


def image(**options: Any) -> PythonModel:
    """Takes an image file, answers with two scores by its size in bytes."""

    def predict(_: None, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        sizes = np.array([len(file) for file in inputs["image"].flat])
        return {"scores": np.where(sizes[:, None] > 3, [[0.25, 0.75]], [[0.75, 0.25]]).astype(np.float32)}

    return PythonModel(
        lambda: None,
        predict,
        inputs=[TensorSpec("image", "BYTES", (-1, 1), content="image")],
        outputs=[TensorSpec("scores", "FP32", (-1, 2))],
        labels=("small", "large"),
        sample={"image": np.array([[b"a picture"]], dtype=object)},
        name="image",
        **options,
    )
