"""From a model reference to verified files."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from mlpatterns.errors import ModelFileError
from mlpatterns.references import FileReference, Reference, parse_reference
from mlpatterns.registry.asker import Asker
from mlpatterns.registry.files import METADATA, MODEL, ModelFiles, bare, load_metadata, verify
from mlpatterns.registry.urls import artifacts_root, default_url
from mlpatterns.stores.registry import Answer

__all__ = ["locate", "placed"]


def locate(reference: Reference | str, *, home: Path, url: str | None = None) -> ModelFiles:
    """Finds a model and checks its files against their SHA-256. Blocks for a quarter of a second: call it in a thread.

    Args:
        reference: a reference or its text.
        home: the folder under which artifacts are stored.
        url: the registry; by default the SQLite file of `home`.

    Raises:
        UnknownName: no such model, alias or version.
        ModelFileError: a file is missing or damaged.
        MissingExtra: the registry's drivers are not installed.
        RegistryDown: the registry does not answer.
        UserError: the text is no reference.
    """
    parsed = parse_reference(reference) if isinstance(reference, str) else reference
    if isinstance(parsed, FileReference):
        return bare(parsed.path)
    with Asker(url or default_url(home)) as asker:
        return placed(parsed.name, asker.find(parsed), home=home)


def placed(name: str, answer: Answer, *, home: Path) -> ModelFiles:
    """The files of a version that the registry has named, checked against their SHA-256.

    Raises:
        ModelFileError: a file is missing or damaged.
    """
    what, version = f"{name}:{answer.version}", str(answer.version)
    folder = _folder(artifacts_root(home), answer.folder, what)
    manifest = verify(folder, what=what, sha256=answer.manifest_sha256)
    metadata = replace(load_metadata(folder / METADATA), name=name, version=version)
    return ModelFiles(folder / MODEL, folder, manifest.files[MODEL].sha256, name, version, metadata)


def _folder(root: Path, stored: str, what: str) -> Path:
    folder = root / stored
    if not folder.resolve().is_relative_to(root.resolve()):
        raise ModelFileError(f"{what} is registered outside the artifacts of this home")
    if not folder.is_dir():
        raise ModelFileError(f"{what} is registered, but its files are not in this MLPATTERNS_HOME; train it again")
    return folder
