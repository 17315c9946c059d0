"""The served models: a classifier of iris, a tiny model that costs almost nothing, and one that returns its input."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.servers import clean_environment
from mlpatterns.metadata import Array
from mlpatterns.references import RegisteredReference
from mlpatterns.registry.locate import locate
from mlpatterns.settings import Settings

__all__ = ["ROW", "answer_of", "identity", "iris", "names_of", "run_model", "save_graph", "tiny", "trained_home"]

ROW = (5.1, 3.5, 1.4, 0.2)
"""The first flower of the iris data set."""

OPSET, IR_VERSION = 17, 8


def trained_home(folder: Path) -> Path:
    """A home in which `mlpatterns train iris_sklearn_svc` has registered its model."""
    home = folder / "home"
    if not home.exists():
        environment = {**clean_environment(), "MLPATTERNS_HOME": str(home)}
        command = [sys.executable, "-m", "mlpatterns", "train", "iris_sklearn_svc"]
        subprocess.run(command, env=environment, cwd=folder, check=True, capture_output=True)
    return home


def iris(folder: Path) -> Path:
    """The ONNX file of the trained support vector classifier; about 13 us a row."""
    return locate(RegisteredReference("iris_sklearn_svc"), Settings(home=trained_home(folder))).model


def tiny(folder: Path) -> Path:
    """One matrix of 4 x 3 and a softmax: about 5 us a row, most of which is ONNX Runtime's own call."""
    from onnx import TensorProto, helper

    weights = helper.make_tensor("weights", TensorProto.FLOAT, (4, 3), np.linspace(-1, 1, 12).tolist())
    bias = helper.make_tensor("bias", TensorProto.FLOAT, (3,), [0.1, 0.2, 0.3])
    nodes = [
        helper.make_node("Gemm", ["input", "weights", "bias"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
    ]
    rows = helper.make_tensor_value_info("input", TensorProto.FLOAT, (None, 4))
    found = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, (None, 3))
    return save_graph(folder / "tiny.onnx", helper.make_graph(nodes, "tiny", [rows], [found], [weights, bias]))


def identity(folder: Path) -> Path:
    """One image of 1 x 3 x 224 x 224 FP32, given back as it came."""
    from onnx import TensorProto, helper

    shape = (1, 3, 224, 224)
    graph = helper.make_graph(
        [helper.make_node("Identity", ["input"], ["output"])],
        "identity",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, shape)],
    )
    return save_graph(folder / "identity.onnx", graph)


def answer_of(model: Path, rows: Any) -> Any:
    """What ONNX Runtime itself says of `rows`: what every server must answer."""
    return run_model(model, np.array(rows, dtype=np.float32))


def run_model(model: Path, array: Array) -> Any:
    """The last output of a model with one input, which for a classifier are its probabilities."""
    session = _session(model)
    return session.run([session.get_outputs()[-1].name], {session.get_inputs()[0].name: array})[0]


def names_of(model: Path) -> tuple[str, str]:
    """The names of the input and of the last output."""
    session = _session(model)
    return session.get_inputs()[0].name, session.get_outputs()[-1].name


def _session(model: Path) -> Any:
    from onnxruntime import InferenceSession

    return InferenceSession(str(model), providers=["CPUExecutionProvider"])


def save_graph(path: Path, graph: Any) -> Path:
    """The graph as a model file, at the versions of the format that every server reads."""
    from onnx import helper, save

    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    save(model, str(path))
    return path
