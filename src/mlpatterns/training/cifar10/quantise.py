"""Quantises a model to 8-bit integers, a quarter of the size, for small machines.

The ranges of the activations come from training images that are run through the model (static quantisation). Weights
have one range per output channel and only seven bits: processors without VNNI add pairs of products in 16 bits, which
8-bit weights would overflow.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mlpatterns.metadata import Array
from mlpatterns.user_errors import MissingExtra

__all__ = ["CALIBRATION", "quantise"]

CALIBRATION = 512  # training images from which the ranges are computed
AT_ONCE = 64


def quantise(model: bytes, input_name: str, images: Array, *, name: str) -> bytes:
    """The canonical ONNX bytes of the quantised model.

    Args:
        images: the images for the calibration, in the form of the model's input, float32.
        name: the name for the graph.

    Raises:
        MissingExtra: onnx is not installed.
    """
    try:
        import onnx
        from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
        from onnxruntime.quantization.shape_inference import quant_pre_process
    except ImportError as error:
        raise MissingExtra("quantising a model", "torch") from error
    from mlpatterns.training.canonical import canonical

    with TemporaryDirectory() as folder:
        whole, ready, small = (Path(folder) / name for name in ("whole.onnx", "ready.onnx", "small.onnx"))
        whole.write_bytes(model)
        quant_pre_process(whole, ready, skip_symbolic_shape=True)
        quantize_static(
            ready, small, _reader(input_name, images),
            quant_format=QuantFormat.QDQ, per_channel=True, reduce_range=True,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
        )  # fmt: skip
        return canonical(onnx.load(small), name=name)


def _reader(input_name: str, images: Array) -> Any:
    """The images as a calibration reader of onnxruntime: each call returns a batch, and None at the end."""
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            starts = range(0, len(images), AT_ONCE)
            self.batches: Iterator[Array] = (images[start : start + AT_ONCE] for start in starts)

        def get_next(self) -> dict[str, Array] | None:
            batch = next(self.batches, None)
            return None if batch is None else {input_name: batch}

    return Reader()
