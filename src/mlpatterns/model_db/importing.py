"""Registers a plain ONNX file. First the file is loaded and run, which shows whether it can serve."""

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
        golden: its golden set, or None.
        ungolden: why it has no golden set; empty if it has one.
        unfit: why it should not serve; empty if it can.
    """

    metadata: ModelMetadata
    golden: Golden | None = None
    ungolden: str = ""
    unfit: str = ""


class ImportedVersion(Struct, frozen=True):
    """An imported version. `unfit` and `ungolden` are as in InspectedModel."""

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
    """Registers a file as the next version of `name`, with the metadata beside it, embedded in it, or from its graph.

    Args:
        options: arguments of `OnnxModel` that describe the model. The outputs for some rows of the argument `sample`
            become the golden set; without this argument, the model's own sample is used.
        promote, force: as in `register`.

    Raises:
        UserError: there is no such file, ONNX Runtime does not load it, the options do not fit it, or `name` is not a
            valid model name.
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

    A model that fails on its own sample is registered too, but becomes champion only with `force`.

    Args:
        weights: the content of each weights file, by its name.
        details: further fields of the `Registration`.
    """
    files = {MODEL: content, METADATA: dump_metadata(replace(loaded.metadata, name=name, version="")), **weights}
    if loaded.golden is not None:
        files[GOLDEN] = loaded.golden.dump()
    made = register(
        Registration(model=name, files=files, **details), settings, promote=promote, force=force, unfit=loaded.unfit
    )
    return ImportedVersion(made, loaded.unfit, loaded.ungolden)


def inspect_file(path: Path, options: Mapping[str, Any], settings: Settings) -> InspectedModel:
    """Loads and runs a model file, and returns its metadata and golden set. This blocks, and needs a thread without an
    event loop.

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
