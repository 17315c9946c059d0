"""Quantizes a model to weights of 8 bits: a quarter of the size, and integer multiplication on the device."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

from mlpatterns.user_errors import MissingExtra, UserError

__all__ = ["quantized"]

log = logging.getLogger("mlpatterns")

INTEGER = {"MatMulInteger", "ConvInteger", "DynamicQuantizeMatMul", "DynamicQuantizeLinear"}


def quantized(name: str, model: bytes) -> bytes:
    """The ONNX bytes of `model` with its matrices and convolutions in 8-bit integers, scaled at run time (ONNX
    Runtime's dynamic quantization, which needs no sample data).

    Args:
        name: the name of the model in errors.

    Raises:
        MissingExtra: the package onnx is not installed.
        UserError: ONNX Runtime cannot quantize the model, or it has nothing that can be quantized.
    """
    try:
        import onnx
        from onnxruntime.quantization import QuantType, quantize_dynamic
    except ImportError as error:
        raise MissingExtra("a model of 8 bits", "train") from error
    root = logging.getLogger()
    level = root.level
    with tempfile.TemporaryDirectory() as folder:
        # A copy, because ONNX Runtime writes beside the model, and a registry's folder may be full or read-only.
        source, target = Path(folder) / "model.onnx", Path(folder) / "int8.onnx"
        root.setLevel(logging.ERROR)  # ONNX Runtime logs advice for other models on the root logger
        try:
            source.write_bytes(model)
            quantize_dynamic(source, target, weight_type=QuantType.QInt8)
        except Exception as error:
            log.debug("quantizing %s failed", name, exc_info=True)
            raise UserError(f"{name} cannot be quantized: {' '.join(str(error).split())}; serve it as it is") from error
        finally:
            root.setLevel(level)
        data = target.read_bytes()
    if not INTEGER & {node.op_type for node in onnx.load_from_string(data).graph.node}:
        raise UserError(f"{name} has no matrix and no convolution that could be quantized; serve it as it is")
    return data
