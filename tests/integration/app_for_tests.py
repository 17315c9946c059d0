"""An app with a model that can be made slow: what the process tests serve. It is copied and run, never imported.

The first number of the first row is how long an answer takes; with one below 0, until the test writes the file `go`.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mlpatterns import PythonModel, TensorSpec, serve

GO = Path("go")


def predict(_: None, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
    rows = inputs["input"]
    if rows[0, 0] < 0:
        while not GO.exists():
            time.sleep(0.005)
    else:
        time.sleep(float(rows[0, 0]))
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
