"""The models of a project: files in its folder, each with its metadata beside it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from mlpatterns.errors import PredictionError
from mlpatterns.metadata import ModelMetadata
from mlpatterns.models.onnx.onnx import OnnxModel
from mlpatterns.references import DEFAULT_ALIAS, FileReference, Reference
from mlpatterns.registry.files import ModelFiles, dump_metadata, metadata_path, unregistered_files
from mlpatterns.registry.golden import golden_file
from mlpatterns.registry.locate import locate
from mlpatterns.registry.profiles import profile_file
from mlpatterns.registry.weights import check_no_conflict, check_weight_names
from mlpatterns.runtime import running
from mlpatterns.settings import Settings
from mlpatterns.tensors import finite
from mlpatterns.testing import request
from mlpatterns.user_errors import ModelFileError, UserError

__all__ = ["CopiedModel", "copy_model", "file_name", "files_of"]

NOTHING: Mapping[str, Any] = MappingProxyType({})


class CopiedModel(Struct, frozen=True):
    """A model of a project. `origin` describes its source in words; `sha256` is that of its ONNX file and weights, in
    hex."""

    name: str
    sha256: str
    origin: str
    metadata: ModelMetadata


def file_name(reference: Reference) -> str:
    """The name of a model's file in a project, without its suffix.

    Raises:
        ModelFileError: the file does not exist.
    """
    if isinstance(reference, FileReference):
        return unregistered_files(reference.path).name
    return reference.name if reference.alias == DEFAULT_ALIAS and reference.version is None else str(reference)


def copy_model(
    reference: Reference, folder: Path, settings: Settings, options: Mapping[str, Any] = NOTHING
) -> CopiedModel:
    """Copies a model into `folder`, with its metadata.

    Args:
        options: arguments of `OnnxModel` that describe the model.

    Raises:
        UserError: the model does not exist, ONNX Runtime cannot load it, or the options do not fit it.
    """
    files = locate(reference, settings)
    name = file_name(reference)
    if isinstance(reference, FileReference) or options:
        files = replace(files, metadata=asyncio.run(_described(OnnxModel(reference, **options), settings)))
    assert files.metadata is not None
    copy = folder / f"{name}.onnx"
    if copy.exists():
        raise UserError(f"two models of this project would be called {name}; rename {files.model.name}")
    _copy(files, copy)
    metadata_path(copy).write_bytes(dump_metadata(files.metadata, files.sha256))
    origin = "your file" if files.folder is None else f"{files.name}:{files.version} of the registry"
    return CopiedModel(name, files.sha256, origin, files.metadata)


def files_of(copy: Path) -> list[str]:
    """The names of the files that belong to a copied model, relative to its folder; they need not exist."""
    copied = unregistered_files(copy)
    return [
        copy.name,
        *(each.name for each in (metadata_path(copy), golden_file(copied), profile_file(copied))),
        *copied.weights,
    ]


def _copy(files: ModelFiles, copy: Path) -> None:
    check_weight_names(files.name, files.weights)
    check_no_conflict(copy, files.weights)
    try:
        for name in files.weights:
            weights = copy.parent / name
            weights.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(files.model.parent / name, weights)
        shutil.copyfile(files.model, copy)
        for beside_it in (golden_file, profile_file):
            if beside_it(files).is_file():
                shutil.copyfile(beside_it(files), beside_it(unregistered_files(copy)))
    except OSError as error:
        raise UserError(f"{files.model.name} cannot be copied: {error.strerror or error}") from error
    if unregistered_files(copy).sha256 != files.sha256:
        raise ModelFileError(f"{files.model.name} was changed while it was copied; try again")


# ---- a file without metadata ----------------------------------------------------------------------------------------


async def _described(model: OnnxModel, settings: Settings) -> ModelMetadata:
    """The metadata of a model; without its sample if an output for the sample is not finite."""
    async with running(model, settings=settings):
        described = model.metadata
        if described.sample is None:
            return described
        try:
            outputs = (await model.predict(request(described.sample))).outputs
        except PredictionError:
            return replace(described, sample=None)
        return described if finite(outputs) else replace(described, sample=None)
