"""An app with a model that can be made slow: what the process tests serve. It is copied and run, never imported."""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from mlpatterns import PythonModel, TensorSpec, serve


def predict(_: None, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
    rows = inputs["input"]
    time.sleep(float(rows[0, 0]))  # the first number of the first row is how long it takes
    return {"probabilities": np.tile(np.array([[0.25, 0.75]], np.float32), (len(rows), 1))}


def build() -> PythonModel:
    return PythonModel(
        lambda: None,
        predict,
        inputs=[TensorSpec("input", "FP32", (-1, 2))],
        outputs=[TensorSpec("probabilities", "FP32", (-1, 2))],
        labels=["no", "yes"],
        sample={"input": np.zeros((1, 2), np.float32)},
        run_on="thread",
        name="sleeper",
    )


app = serve(build)
