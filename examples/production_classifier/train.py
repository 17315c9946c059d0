"""Trains on scikit-learn's digits and writes model.onnx beside this file: the same bytes every time.

python train.py [FILE [SEED]]
"""

from __future__ import annotations

import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["export", "main", "train"]

MODEL = Path(__file__).with_name("model.onnx")
WORST, APART = 0.95, 1e-4  # a model with less accuracy, or whose export differs by more, is not written
OPSET = {"": 17, "ai.onnx.ml": 3}


def main(path: Path = MODEL, seed: int = 0) -> str:
    """Trains, checks, writes `path`; returns a line about the file written. Another seed gives another model."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    data = train_test_split(digits.data, digits.target, test_size=0.25, random_state=0, stratify=digits.target)
    train_rows, test_rows, train_labels, test_labels = data
    model = train(train_rows, train_labels, seed)
    accuracy = float(model.score(test_rows, test_labels))
    if accuracy < WORST:
        raise SystemExit(f"the accuracy is {accuracy:.3f}, below {WORST}: nothing was written")
    exported = export(model)
    apart = difference(model, exported, test_rows)
    if apart > APART:
        raise SystemExit(f"the exported model differs by {apart:.1e}, more than {APART}: nothing was written")
    path.write_bytes(exported)
    digest = sha256(exported).hexdigest()
    return f"{path.name}: accuracy {accuracy:.3f}, largest difference {apart:.1e}, sha256 {digest}"


def train(rows: Any, labels: Any, seed: int = 0) -> Any:
    """A small neural network on rows of 64 shades, each from 0 to 16."""
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MaxAbsScaler

    network = MLPClassifier(hidden_layer_sizes=(64,), max_iter=400, random_state=seed)
    return make_pipeline(MaxAbsScaler(), network).fit(rows, labels)


def export(model: Any) -> bytes:
    """ONNX with the input `pixels` and the outputs `label` and `probabilities`; equal models give equal bytes."""
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType

    onnx = convert_sklearn(
        model,
        name="digits",
        initial_types=[("pixels", FloatTensorType([None, 64]))],
        options={"zipmap": False},
        target_opset=OPSET,
    )
    imports = sorted((entry.domain, entry.version) for entry in onnx.opset_import)
    del onnx.opset_import[:]  # the converter lists them in any order
    for domain, version in imports:
        onnx.opset_import.add(domain=domain, version=version)
    return bytes(onnx.SerializeToString(deterministic=True))


def difference(model: Any, exported: bytes, rows: Any) -> float:
    """The largest difference between the model's probabilities and those of its export."""
    from onnxruntime import InferenceSession

    session = InferenceSession(exported, providers=["CPUExecutionProvider"])
    (given,) = session.run(["probabilities"], {"pixels": rows.astype(np.float32)})
    return float(np.abs(given - model.predict_proba(rows)).max())


if __name__ == "__main__":
    print(main(*map(Path, sys.argv[1:2]), *map(int, sys.argv[2:3])))
