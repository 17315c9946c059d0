"""The step `build`: exports the trained network to ONNX, checks its parity, and writes a second, quantised file."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import msgspec
import numpy as np
import torch
from msgspec import Struct
from torch import nn

from mlpatterns.metadata import Array
from mlpatterns.registry.files import MODEL
from mlpatterns.training.cifar10.options import ImageOptions
from mlpatterns.training.cifar10.prepared import load_images
from mlpatterns.training.cifar10.published import SIDE
from mlpatterns.training.cifar10.quantise import CALIBRATION, quantise
from mlpatterns.training.cifar10.trained import AT_ONCE, answers, deterministic, load_network
from mlpatterns.training.evaluate import Scores, score
from mlpatterns.training.parity import Parity, compare, require, run_onnx
from mlpatterns.user_errors import MissingExtra

__all__ = ["INPUT", "INT8", "OUTPUT", "BuildRecord", "build", "export", "load_built"]

INPUT, OUTPUT = "images", "probabilities"
INT8, RECORD = "int8.onnx", "build.json"
OPSET = 17  # the same as in the other trainings


class BuiltFile(Struct, frozen=True):
    """A model file: its size in bytes, and its scores on the test images."""

    bytes: int
    scores: Scores


class BuildRecord(Struct, frozen=True):
    """The record of a build. `parity` compares the float32 file with torch, over all test images."""

    parity: Parity
    float32: BuiltFile
    int8: BuiltFile


def build(prepared: Path, trained: Path, options: ImageOptions, work: Path) -> None:
    """Exports the network, checks its parity and quantises it; writes ``model.onnx``, ``int8.onnx`` and ``build.json``
    to `work`.

    Raises:
        UserError: the exported model gives other answers than the network.
        MissingExtra: onnx is not installed.
    """
    test, train = load_images(prepared, "test"), load_images(prepared, "train")
    with deterministic(options.threads):
        net = load_network(trained)
        expected = answers(net, test.images)
        model = export(net, name="cifar10")
    got = _answers(model, test.images)
    parity = compare({OUTPUT: expected, "label": expected.argmax(1)}, {OUTPUT: got, "label": got.argmax(1)})
    require(parity)
    small = quantise(model, INPUT, train.images[:CALIBRATION].astype(np.float32), name="cifar10_int8")
    classes = expected.shape[1]
    record = BuildRecord(
        parity,
        BuiltFile(len(model), score(test.labels, got.argmax(1), classes)),
        BuiltFile(len(small), score(test.labels, _answers(small, test.images).argmax(1), classes)),
    )
    (work / MODEL).write_bytes(model)
    (work / INT8).write_bytes(small)
    (work / RECORD).write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=2))


def load_built(folder: Path) -> BuildRecord:
    """The record of a finished `build`."""
    return msgspec.json.decode((folder / RECORD).read_bytes(), type=BuildRecord)


def export(net: nn.Module, *, name: str) -> bytes:
    """The canonical ONNX bytes of a network followed by a softmax.

    The input is images, FP32 [-1, 3, 32, 32] from 0 to 255; the output is probabilities.

    Raises:
        MissingExtra: onnx is not installed.
    """
    try:
        import onnx

        from mlpatterns.training.canonical import canonical
    except ImportError as error:
        raise MissingExtra("building the model", "torch") from error
    content = io.BytesIO()
    with warnings.catch_warnings():
        # Torch recommends its newer exporter, which needs another package and names nodes by what it traced. The
        # version of torch that the extra pins still has both exporters.
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        torch.onnx.export(
            nn.Sequential(net, nn.Softmax(dim=1)).eval(), (torch.zeros(1, 3, SIDE, SIDE),), content,
            dynamo=False, opset_version=OPSET, input_names=[INPUT], output_names=[OUTPUT],
            dynamic_axes={INPUT: {0: "batch"}, OUTPUT: {0: "batch"}},
        )  # fmt: skip
    return canonical(onnx.load_from_string(content.getvalue()), name=name)


def _answers(model: bytes, images: Array) -> Array:
    parts = [
        run_onnx(model, {INPUT: images[start : start + AT_ONCE].astype(np.float32)})[OUTPUT]
        for start in range(0, len(images), AT_ONCE)
    ]
    return np.concatenate(parts)
