"""What OnnxModel says of the bytes of a model."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlpatterns.metadata import Array, ModelMetadata
from mlpatterns.models.onnx.onnx import OnnxModel
from mlpatterns.runtime import running
from mlpatterns.testing import request

__all__ = ["answers_of", "metadata_of", "saved"]


def saved(folder: Path, content: bytes, name: str = "model") -> str:
    """The reference of a file with these bytes."""
    (folder / f"{name}.onnx").write_bytes(content)
    return f"file:{folder / name}.onnx"


def metadata_of(reference: str, **options: Any) -> ModelMetadata:
    async def main() -> ModelMetadata:
        model = OnnxModel(reference, **options)
        async with running(model):
            return model.metadata

    return asyncio.run(main())


def answers_of(reference: str, inputs: Mapping[str, Any], **options: Any) -> tuple[ModelMetadata, Mapping[str, Array]]:
    """The metadata, and the outputs for `inputs`."""

    async def main() -> tuple[ModelMetadata, Mapping[str, Array]]:
        model = OnnxModel(reference, **options)
        async with running(model):
            return model.metadata, (await model.predict(request(inputs))).outputs

    return asyncio.run(main())
