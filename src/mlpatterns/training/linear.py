"""The ONNX graph of a logistic regression as a matrix product, which every runtime supports and which can be quantised.

skl2onnx writes an operator of ONNX's machine-learning domain instead, then casts its probabilities and divides again.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mlpatterns.metadata import TensorSpec
from mlpatterns.training.export import OPSETS
from mlpatterns.user_errors import UserError

__all__ = ["export_logistic"]


def export_logistic(fitted: Any, spec: TensorSpec, outputs: tuple[TensorSpec, ...], *, name: str) -> bytes:
    """The canonical ONNX bytes of a LogisticRegression of several classes: softmax(x W + b); the arguments are those of
    `export_sklearn`.

    Raises:
        MissingExtra: onnx is not installed.
        UserError: the model has two classes, so that its probability is a sigmoid.
    """
    from mlpatterns.training.canonical import canonical

    if len(fitted.classes_) < 3:
        raise UserError("only a logistic regression of three classes or more is exported in this way")
    from onnx import helper, numpy_helper

    label, probabilities = outputs
    constants = [
        numpy_helper.from_array(fitted.coef_.T.astype(np.float32), "weights"),
        numpy_helper.from_array(fitted.intercept_.astype(np.float32), "bias"),
    ]
    nodes = [
        helper.make_node("MatMul", [spec.name, "weights"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["scores"]),
        helper.make_node("Softmax", ["scores"], [probabilities.name], axis=1),
        helper.make_node("ArgMax", ["scores"], [label.name], axis=1, keepdims=0),
    ]
    kinds = {"FP32": 1, "INT64": 7}  # of onnx.TensorProto
    inputs, found = (
        [helper.make_tensor_value_info(tensor.name, kinds[tensor.datatype],
                                       [None if size < 0 else size for size in tensor.shape]) for tensor in tensors]
        for tensors in ((spec,), outputs)
    )  # fmt: skip
    graph = helper.make_graph(nodes, name, inputs, found, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSETS[""])], ir_version=8)
    return canonical(model, name=name)
