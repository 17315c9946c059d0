"""A queue whose model takes a few milliseconds and is not loaded by the server: what the tests of kills run. It is
copied and run, never imported."""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from mlpatterns import JobQueue, PythonModel, TensorSpec, serve


def predict(_: None, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
    time.sleep(0.003)
    return {"sum": inputs["input"].sum(axis=1, keepdims=True)}


def build() -> JobQueue:
    model = PythonModel(
        lambda: None,
        predict,
        inputs=[TensorSpec("input", "FP32", (-1, 2))],
        outputs=[TensorSpec("sum", "FP32", (-1, 1))],
        sample={"input": np.zeros((1, 2), np.float32)},
        run_on="thread",
        name="adder",
    )
    return JobQueue(model, concurrency=2, max_attempts=50, name="adder")


app = serve(build)
