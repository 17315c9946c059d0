"""A plain ONNX file becomes a version of the registry: loaded once, so that what is registered can be served."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from msgspec.structs import replace

from mlpatterns.metadata import ModelMetadata
from mlpatterns.model_db.register import Entry, RegisteredVersion, register
from mlpatterns.models.onnx import OnnxModel
from mlpatterns.references import FileReference, parse_reference
from mlpatterns.registry.files import METADATA, MODEL, bare, checked, dump_metadata
from mlpatterns.registry.weights import check_names, weight_contents
from mlpatterns.runtime import running
from mlpatterns.settings import Settings

__all__ = ["described", "import_file", "register_file"]


def import_file(
    path: Path,
    name: str,
    *,
    settings: Settings,
    project: str = "mlpatterns",
    labels: Sequence[str] = (),
    promote: bool = True,
) -> RegisteredVersion:
    """Registers the file as the next version of `name`, with the metadata beside it, or those of its graph.

    Args:
        labels: class names by index, instead of the model's own.

    Raises:
        UserError: there is no such file, ONNX Runtime does not load it, or `name` is no model's name.
    """
    parse_reference(f"{name}:1")  # a name that no reference could find is refused here
    files = bare(path)
    check_names(files.name, files.weights)
    content, weights = checked(files), weight_contents(files)
    metadata, origin = described(path, labels, settings), {"imported_from": path.name}
    return register_file(
        name, content, metadata, settings=settings, promote=promote, weights=weights, project=project, parameters=origin
    )


def register_file(
    name: str,
    content: bytes,
    metadata: ModelMetadata,
    *,
    settings: Settings,
    promote: bool,
    weights: Mapping[str, bytes] = MappingProxyType({}),
    **details: Any,
) -> RegisteredVersion:
    """Registers the bytes of a model as the next version of `name`.

    Args:
        weights: the content of each file in which it keeps weights, by its name.
        details: those of its Entry.
    """
    files = {MODEL: content, METADATA: dump_metadata(replace(metadata, name=name, version="")), **weights}
    return register(Entry(model=name, files=files, **details), settings, promote=promote)


def described(path: Path, labels: Sequence[str], settings: Settings) -> ModelMetadata:
    """What a file takes and gives, known by loading it.

    Raises:
        UserError: ONNX Runtime does not load it.
    """
    return asyncio.run(_described(path, labels, settings))


async def _described(path: Path, labels: Sequence[str], settings: Settings) -> ModelMetadata:
    model = OnnxModel(FileReference(path), labels=labels)
    async with running(model, settings=settings):
        return model.metadata
