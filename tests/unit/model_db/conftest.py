"""A small registered model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mlpatterns.metadata import ModelMetadata, TensorSpec
from mlpatterns.model_db.register import Registration
from mlpatterns.registry.files import dump_metadata

CONTENT = b"no graph, but bytes"


def metadata() -> ModelMetadata:
    inputs = (TensorSpec("input", "FP32", (-1, 2), fields=("width", "height")),)
    outputs = (TensorSpec("label", "INT64", (-1,)),)
    sample = {"input": np.array([[1.5, 2.0]], dtype=np.float32)}
    return ModelMetadata("shapes", "unregistered", "onnxruntime_onnx", inputs, outputs, "label", ("a", "b"), sample)


@pytest.fixture
def entry() -> Registration:
    files = {"model.onnx": CONTENT, "metadata.json": dump_metadata(metadata())}
    return Registration("shapes", files)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'registry.db'}"
