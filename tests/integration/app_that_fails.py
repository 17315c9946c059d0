"""An app whose processes end as files beside it say: what the tests of the supervisor serve. It is copied and run.

`start` holds what a process does when it builds: an exit status, or a sentence to fail with. `slow` holds the seconds
that it takes. A request with a first number below 0 ends its process with that status, -1 for 0.
"""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mlpatterns import PythonModel, TensorSpec, UserError, serve


def predict(_: None, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
    first = int(inputs["input"][0, 0])
    if first < 0:
        os._exit(-1 - first)
    return {"sum": inputs["input"].sum(axis=1)}


def build() -> PythonModel:
    start, slow = Path("start"), Path("slow")
    if slow.exists():
        time.sleep(float(slow.read_text()))
    if start.exists():
        if (text := start.read_text()).isdigit():
            os._exit(int(text))
        raise UserError(text)
    return PythonModel(
        lambda: None,
        predict,
        inputs=[TensorSpec("input", "FP32", (-1, 2))],
        outputs=[TensorSpec("sum", "FP32", (-1,))],
        sample={"input": np.zeros((1, 2), np.float32)},
        run_on="loop",
        name="sum",
    )


app = serve(build)
