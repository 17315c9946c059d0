"""An app of which each request holds the event loop for 50 ms."""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from mlpatterns import PythonModel, TensorSpec, serve


def predict(_: None, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
    time.sleep(0.05)
    return {"sum": inputs["input"].sum(axis=1)}


app = serve(
    lambda: PythonModel(
        lambda: None,
        predict,
        inputs=[TensorSpec("input", "FP32", (-1, 2))],
        outputs=[TensorSpec("sum", "FP32", (-1,))],
        sample={"input": np.zeros((1, 2), np.float32)},
        run_on="loop",
        name="sum",
    )
)
