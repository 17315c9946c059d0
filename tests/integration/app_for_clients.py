"""Two models for clients of others: one gives back every datatype, one scores rows. It is run, never imported."""

from collections.abc import Mapping
from itertools import count
from typing import Any

import numpy as np

from mlpatterns import Predictor, PythonModel, TensorSpec, serve

NUMBERS = ("BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64")
versions = count(1)


def score(_: None, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
    rows = inputs["input"]
    return {"sums": rows.sum(axis=1, keepdims=True), "rows": rows}


def build() -> dict[str, Predictor]:
    every = [TensorSpec(name.lower(), name, (-1, 2)) for name in (*NUMBERS, "BYTES")]
    scores = PythonModel(
        lambda: None,
        score,
        inputs=[TensorSpec("input", "FP32", (-1, 4))],
        outputs=[TensorSpec("sums", "FP32", (-1, 1)), TensorSpec("rows", "FP32", (-1, 4))],
        sample={"input": np.array([[5.1, 3.5, 1.4, 0.2]], np.float32)},
        version=str(next(versions)),
        name="scores",
    )
    return {
        "echo": PythonModel(lambda: None, lambda _, given: given, inputs=every, outputs=every, name="echo"),
        "scores": scores,
    }


app = serve(build)
