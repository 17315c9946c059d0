"""Functions that child processes import for the tests of PythonModel."""

from __future__ import annotations

import importlib.util
import os
import signal
import time
from collections.abc import Mapping

import numpy as np

from mlpatterns.errors import InvalidInput

Arrays = Mapping[str, np.ndarray]


def load() -> float:
    return 10.0


def load_fails() -> float:
    raise FileNotFoundError("weights.bin\nis missing")


def load_dies() -> float:
    os._exit(3)


def predict(state: float, inputs: Arrays) -> dict[str, np.ndarray]:
    return {"y": inputs["x"].sum(axis=1) + state, "pid": np.full(len(inputs["x"]), os.getpid())}


def predict_by_command(state: float, inputs: Arrays) -> dict[str, np.ndarray]:
    """The first number says what to do: 1 raise, 2 refuse, 3 die, 4 sleep, 5 give what cannot be sent back."""
    command = int(inputs["x"][0, 0])
    if command == 1:
        raise ValueError("/secret/path")
    if command == 2:
        raise InvalidInput("x is out of range")
    if command == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    if command == 4:
        time.sleep(float(inputs["x"][0, 1]))
    if command == 5:
        return {"y": lambda: None}  # type: ignore[dict-item]
    return predict(state, inputs)


def double(inputs: Arrays) -> dict[str, np.ndarray]:
    return {"y": 2 * inputs["x"]}


def times(factor: float, inputs: Arrays) -> dict[str, np.ndarray]:
    return {"y": factor * inputs["x"]}


def scaled(inputs: Arrays, parameters: Mapping[str, float]) -> dict[str, np.ndarray]:
    return {"y": inputs["x"] * parameters.get("factor", 1)}


def scaled_with_state(state: float, inputs: Arrays, *, parameters: Mapping[str, float]) -> dict[str, np.ndarray]:
    return {"y": inputs["x"] * parameters["factor"] + state}


class Doubler:
    def doubled(self, inputs: Arrays) -> dict[str, np.ndarray]:
        return double(inputs)


def threads_here(inputs: Arrays) -> dict[str, list[bytes]]:
    """What the libraries of this process were told of their threads, and how many ONNX Runtime would take."""
    importlib.util.find_spec("onnxruntime")  # as code does that asks whether it is there
    import onnxruntime

    kept: list[int] = []

    class Options(onnxruntime.SessionOptions):  # type: ignore[misc]
        pass

    options = Options()
    try:
        onnxruntime.InferenceSession(b"no model", options)
    except Exception:
        kept.append(options.intra_op_num_threads)
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    said = [os.environ.get(name, "") for name in names]
    return {"said": [",".join([*said, str(kept[0])]).encode()]}
