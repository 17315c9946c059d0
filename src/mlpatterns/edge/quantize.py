"""Quantizes a model to weights of 8 bits: a quarter of the size, and integer multiplication on the device."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

from mlpatterns.user_errors import MissingExtra, UserError

__all__ = ["quantized"]

INTEGER = {"MatMulInteger", "ConvInteger", "DynamicQuantizeMatMul", "DynamicQuantizeLinear"}


def quantized(model: Path) -> bytes:
    """The ONNX bytes of `model` with its matrices and convolutions in 8-bit integers, scaled at run time (ONNX
    Runtime's dynamic quantization, which needs no sample data).

    Raises:
        MissingExtra: the package onnx is not installed.
        UserError: the model has nothing that can be quantized.
    """
    try:
        import onnx
        from onnxruntime.quantization import QuantType, quantize_dynamic
    except ImportError as error:
        raise MissingExtra("a model of 8 bits", "train") from error
    root = logging.getLogger()
    level = root.level
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "int8.onnx"
        root.setLevel(logging.ERROR)  # it logs advice, on the root logger, that is meant for other models
        try:
            quantize_dynamic(model, target, weight_type=QuantType.QInt8)
        finally:
            root.setLevel(level)
        data = target.read_bytes()
    if not INTEGER & {node.op_type for node in onnx.load_from_string(data).graph.node}:
        raise UserError(f"{model.name} has no matrix and no convolution that could be quantized; serve it as it is")
    return data
