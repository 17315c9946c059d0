"""Registering a plain ONNX file. It is loaded and run once first, so that it is known to serve."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from mlpatterns.metadata import ModelMetadata
from mlpatterns.model_db.register import RegisteredVersion, Registration, register
from mlpatterns.models.onnx.onnx import OnnxModel
from mlpatterns.models.sample.answers import golden_of
from mlpatterns.models.sample.rows import sample_rows
from mlpatterns.references import FileReference, check_name
from mlpatterns.registry.files import METADATA, MODEL, checked_content, dump_metadata, unregistered_files
from mlpatterns.registry.golden import GOLDEN, Golden
from mlpatterns.registry.weights import check_weight_names, weight_contents
from mlpatterns.runtime import running
from mlpatterns.settings import Settings
from mlpatterns.user_errors import ModelFileError

__all__ = ["ImportedVersion", "InspectedModel", "import_file", "inspect_file", "register_file"]

NOTHING: Mapping[str, Any] = MappingProxyType({})


class InspectedModel(Struct, frozen=True):
    """A model file that ONNX Runtime loaded.

    Attributes:
        metadata: its inputs, outputs and labels.
        golden: its outputs for its sample, or None.
        ungolden: why it has no golden set, or empty.
        unfit: why it should not serve, or empty.
    """

    metadata: ModelMetadata
    golden: Golden | None = None
    ungolden: str = ""
    unfit: str = ""


class ImportedVersion(Struct, frozen=True):
    """A version that was imported; `unfit` and `ungolden` are those of the InspectedModel."""

    made: RegisteredVersion
    unfit: str = ""
    ungolden: str = ""


def import_file(
    path: Path,
    name: str,
    *,
    settings: Settings,
    project: str = "mlpatterns",
    options: Mapping[str, Any] = NOTHING,
    promote: bool = False,
    force: bool = False,
) -> ImportedVersion:
    """Registers the file as the next version of `name`, with the metadata beside it, or the metadata of its graph.

    Args:
        options: arguments of `OnnxModel` that describe the model. Its outputs for some rows of their `sample` become
            its golden set; by default its own sample is used.
        promote, force: as those of `register`.

    Raises:
        UserError: there is no such file, ONNX Runtime does not load it, the options do not fit it, or no model can
            have this `name`.
    """
    check_name(name)
    files = unregistered_files(path)
    check_weight_names(files.name, files.weights)
    content, weights = checked_content(files), weight_contents(files)
    loaded, origin = inspect_file(path, options, settings), {"imported_from": path.name}
    return register_file(
        name,
        content,
        loaded,
        settings=settings,
        promote=promote,
        force=force,
        weights=weights,
        project=project,
        parameters=origin,
    )


def register_file(
    name: str,
    content: bytes,
    loaded: InspectedModel,
    *,
    settings: Settings,
    promote: bool,
    force: bool,
    weights: Mapping[str, bytes] = NOTHING,
    **details: Any,
) -> ImportedVersion:
    """Registers the bytes of a model as the next version of `name`.

    A model that fails on its own sample is registered too, but becomes champion only by `force`.

    Args:
        weights: the content of each file of weights, by its name.
        details: those of its Registration.
    """
    files = {MODEL: content, METADATA: dump_metadata(replace(loaded.metadata, name=name, version="")), **weights}
    if loaded.golden is not None:
        files[GOLDEN] = loaded.golden.dump()
    made = register(
        Registration(model=name, files=files, **details), settings, promote=promote, force=force, unfit=loaded.unfit
    )
    return ImportedVersion(made, loaded.unfit, loaded.ungolden)


def inspect_file(path: Path, options: Mapping[str, Any], settings: Settings) -> InspectedModel:
    """The metadata and golden set of a file, found by loading and running it.

    Raises:
        UserError: ONNX Runtime does not load it, or the sample does not fit.
    """
    return asyncio.run(_loaded(path, options, settings))


async def _loaded(path: Path, options: Mapping[str, Any], settings: Settings) -> InspectedModel:
    model, sample = OnnxModel(FileReference(path), **options), options.get("sample")
    async with running(model, settings=settings):
        metadata = model.metadata
        rows = None if sample is None else sample_rows(sample, metadata.inputs)
        try:
            golden, ungolden = await golden_of(model, rows)
        except ModelFileError as error:
            return InspectedModel(metadata, unfit=str(error))
        return InspectedModel(metadata, golden, ungolden)
