"""A plain ONNX file becomes a version of the registry: it is loaded and asked once, so that it is known to serve."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from mlpatterns.errors import ModelFileError
from mlpatterns.metadata import ModelMetadata
from mlpatterns.model_db.register import Entry, RegisteredVersion, register
from mlpatterns.models.onnx.onnx import OnnxModel
from mlpatterns.models.sample.answers import golden_of
from mlpatterns.models.sample.given import sample_rows
from mlpatterns.references import FileReference, check_name
from mlpatterns.registry.files import METADATA, MODEL, bare, checked, dump_metadata
from mlpatterns.registry.golden import GOLDEN, Golden
from mlpatterns.registry.weights import check_names, weight_contents
from mlpatterns.runtime import running
from mlpatterns.settings import Settings

__all__ = ["ImportedVersion", "Loaded", "import_file", "loaded_file", "register_file"]

NOTHING: Mapping[str, Any] = MappingProxyType({})


class Loaded(Struct, frozen=True):
    """A model file that ONNX Runtime loaded.

    Attributes:
        metadata: what it takes and gives.
        golden: what it answered to its sample, or None.
        ungolden: why it has no golden set, or nothing.
        unfit: why it should serve nobody, or nothing.
    """

    metadata: ModelMetadata
    golden: Golden | None = None
    ungolden: str = ""
    unfit: str = ""


class ImportedVersion(Struct, frozen=True):
    """A version that was imported; `unfit` and `ungolden` are those of the Loaded."""

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
    """Registers the file as the next version of `name`, with the metadata beside it, or those of its graph.

    Args:
        options: what is said of the model beside its file: arguments of `OnnxModel`. What it answers to some rows of
            their `sample` becomes its golden set; by default its own sample is asked.
        promote, force: as those of `register`.

    Raises:
        UserError: there is no such file, ONNX Runtime does not load it, what is said does not fit it, or `name` is no
            model's name.
    """
    check_name(name)
    files = bare(path)
    check_names(files.name, files.weights)
    content, weights = checked(files), weight_contents(files)
    loaded, origin = loaded_file(path, options, settings), {"imported_from": path.name}
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
    loaded: Loaded,
    *,
    settings: Settings,
    promote: bool,
    force: bool,
    weights: Mapping[str, bytes] = NOTHING,
    **details: Any,
) -> ImportedVersion:
    """Registers the bytes of a model as the next version of `name`.

    One that has no answer to its own sample is registered, and does not become champion unless it is forced.

    Args:
        weights: the content of each file in which it keeps weights, by its name.
        details: those of its Entry.
    """
    files = {MODEL: content, METADATA: dump_metadata(replace(loaded.metadata, name=name, version="")), **weights}
    if loaded.golden is not None:
        files[GOLDEN] = loaded.golden.dump()
    made = register(
        Entry(model=name, files=files, **details), settings, promote=promote, force=force, unfit=loaded.unfit
    )
    return ImportedVersion(made, loaded.unfit, loaded.ungolden)


def loaded_file(path: Path, options: Mapping[str, Any], settings: Settings) -> Loaded:
    """What a file takes, gives and answers, known by loading and asking it.

    Raises:
        UserError: ONNX Runtime does not load it, or the sample does not fit.
    """
    return asyncio.run(_loaded(path, options, settings))


async def _loaded(path: Path, options: Mapping[str, Any], settings: Settings) -> Loaded:
    model, sample = OnnxModel(FileReference(path), **options), options.get("sample")
    async with running(model, settings=settings):
        metadata = model.metadata
        rows = None if sample is None else sample_rows(sample, metadata.inputs)
        try:
            golden, ungolden = await golden_of(model, rows)
        except ModelFileError as error:
            return Loaded(metadata, unfit=str(error))
        return Loaded(metadata, golden, ungolden)
