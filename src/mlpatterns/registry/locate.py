"""From a model reference to verified files."""

from __future__ import annotations

from pathlib import Path
from threading import Event

from msgspec.structs import replace

from mlpatterns.references import FileReference, Reference, RegisteredReference, parse_reference
from mlpatterns.registry.asking import AskedRegistry
from mlpatterns.registry.fetching import fetched
from mlpatterns.registry.files import METADATA, MODEL, ModelFiles, bare, load_metadata
from mlpatterns.registry.remembered import remember, remembered
from mlpatterns.registry.urls import artifacts_url, default_url
from mlpatterns.stores.registry import Answer

__all__ = ["locate", "placed"]


def locate(
    reference: Reference | str, *, home: Path, url: str | None = None, artifacts: str | None = None
) -> ModelFiles:
    """Finds a model and checks its files against their SHA-256. It blocks: call it in a thread.

    Args:
        reference: a reference or its text.
        home: the folder under which artifacts are stored, or kept if they are elsewhere.
        url: the registry, its database or its service; by default the SQLite file of `home`.
        artifacts: the URL that artifacts are below; by default that of their folder in `home`.

    Raises:
        UnknownName: no such model, alias or version.
        ModelFileError: a file is missing or damaged.
        MissingExtra: the registry's driver is not installed.
        RegistryDown: the registry does not answer, or as ArtifactsDown where the files are.
        UserError: the text is no reference.
    """
    parsed = parse_reference(reference) if isinstance(reference, str) else reference
    if isinstance(parsed, FileReference):
        return bare(parsed.path)
    url = url or default_url(home)
    answer = remembered(parsed, home=home, url=url, artifacts=artifacts) or _answer(parsed, url)
    files = placed(parsed.name, answer, home=home, artifacts=artifacts)
    remember(parsed.name, answer, home=home, url=url)
    return files


def _answer(reference: RegisteredReference, url: str) -> Answer:
    registry = AskedRegistry(url)
    try:
        return registry.find_blocking(reference)
    finally:
        registry.end()


def placed(
    name: str, answer: Answer, *, home: Path, artifacts: str | None = None, stop: Event | None = None
) -> ModelFiles:
    """The files of a version that the registry has named, fetched if they are elsewhere and checked against their
    SHA-256. Once `stop` is set, a fetch is given up.

    Raises:
        Abandoned: `stop` was set.
        ModelFileError: a file is missing or damaged.
        ArtifactsDown: where they are does not answer.
    """
    what, version = f"{name}:{answer.version}", str(answer.version)
    folder, manifest = fetched(artifacts_url(home, artifacts), answer, what=what, home=home, stop=stop)
    metadata = replace(load_metadata(folder / METADATA), name=name, version=version)
    return ModelFiles(folder / MODEL, folder, manifest.files[MODEL].sha256, name, version, metadata)
