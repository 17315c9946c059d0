"""The model as every peer runs it: ONNX Runtime, one thread for a call unless PEER_THREADS says otherwise (0: its own
choice), which is the fastest for small models."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import onnxruntime

__all__ = ["MODEL", "open_model"]

MODEL = "PEER_MODEL"  # the variable that holds the path of the ONNX file


def open_model() -> Callable[[Any], Any]:
    """A function from the input's array to the array of the last output."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ.get("PEER_THREADS", "1"))
    session = onnxruntime.InferenceSession(os.environ[MODEL], options, providers=["CPUExecutionProvider"])
    given, wanted = session.get_inputs()[0].name, [session.get_outputs()[-1].name]
    return lambda array: session.run(wanted, {given: array})[0]
