"""An exported file as ONNX Runtime and a server see it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnxruntime

from mlpatterns import OnnxModel, running
from mlpatterns.metadata import Array
from mlpatterns.predictor import InferenceResponse
from mlpatterns.testing import request

__all__ = ["asked", "inside", "opened", "served"]


def opened(path: Path) -> Any:
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def inside(path: Path) -> dict[str, Any]:
    """The metadata in the file."""
    record: dict[str, Any] = msgspec.json.decode(
        opened(path).get_modelmeta().custom_metadata_map["mlpatterns.metadata"]
    )
    return record


def asked(path: Path, **inputs: Any) -> dict[str, Array]:
    """What the file answers, by output."""
    session = opened(path)
    names = [output.name for output in session.get_outputs()]
    kinds = {value.name: {"tensor(string)": object, "tensor(int64)": np.int64}.get(value.type, np.float32)
             for value in session.get_inputs()}  # fmt: skip
    feeds = {name: np.asarray(value, dtype=kinds[name]) for name, value in inputs.items()}
    return dict(zip(names, session.run(names, feeds), strict=True))


def served(path: Path, **inputs: Array) -> InferenceResponse:
    """What an OnnxModel of the file answers."""

    async def main() -> InferenceResponse:
        model = OnnxModel(f"file:{path}")
        async with running(model):
            return await model.predict(request(inputs))

    return asyncio.run(main())
