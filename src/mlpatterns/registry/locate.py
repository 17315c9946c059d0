"""From a model reference to verified files.

The registry's answer for a version number is cached on this machine, since a number never names another version. So a
version whose files are here is served while the registry is down. A registry in a file is queried each time: it cannot
hang.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path
from threading import Event

import msgspec
from msgspec.structs import replace

from mlpatterns.durable import write_whole
from mlpatterns.redaction import redact
from mlpatterns.references import FileReference, Reference, RegisteredReference, parse_reference
from mlpatterns.registry.fetching import fetch_files, is_local
from mlpatterns.registry.files import METADATA, MODEL, ModelFiles, load_metadata, unregistered_files
from mlpatterns.registry.threaded import ThreadedRegistry
from mlpatterns.settings import Settings
from mlpatterns.stores.registry import VersionFiles

__all__ = ["cached_answer", "fetch_version", "find_version", "locate"]


def locate(reference: Reference | str, settings: Settings) -> ModelFiles:
    """Finds a model and checks its files against their SHA-256. It blocks: call it in a thread.

    Args:
        reference: a reference or its text.
        settings: they say where the registry (its database or its service) and the artifacts are; fetched artifacts
            are cached below the home.

    Raises:
        UnknownName: no such model, alias or version.
        ModelFileError: a file is missing or damaged.
        MissingExtra: the registry's driver is not installed.
        RegistryDown: the registry does not answer, or as ArtifactsDown where the files are.
        UserError: the text is no reference.
    """
    parsed = parse_reference(reference) if isinstance(reference, str) else reference
    if isinstance(parsed, FileReference):
        return unregistered_files(parsed.path)
    return fetch_version(parsed.name, find_version(parsed, settings), settings)


def find_version(reference: RegisteredReference, settings: Settings) -> VersionFiles:
    """The version that a reference names now; raises as `locate`."""
    known = cached_answer(reference, settings)
    if known is not None:
        return known
    registry = ThreadedRegistry(settings.registry_url)
    try:
        return registry.find_blocking(reference)
    finally:
        registry.end()


def fetch_version(name: str, answer: VersionFiles, settings: Settings, stop: Event | None = None) -> ModelFiles:
    """The files of a version, fetched if they are elsewhere, and checked against their SHA-256.

    Once `stop` is set, a fetch is given up. The registry's answer is cached.

    Raises:
        FetchAbandoned: `stop` was set.
        ModelFileError: a file is missing or damaged.
        ArtifactsDown: the store of artifacts does not answer.
    """
    what, version = f"{name}:{answer.version}", str(answer.version)
    folder, manifest = fetch_files(settings.artifacts_url, answer, what=what, home=settings.home, stop=stop)
    metadata = replace(load_metadata(folder / METADATA), name=name, version=version)
    _remember(name, answer, settings)
    weights = manifest.weight_digests()
    return ModelFiles(folder / MODEL, folder, manifest.identity(), name, version, metadata, weights)


def cached_answer(reference: RegisteredReference, settings: Settings) -> VersionFiles | None:
    """The cached answer for a version whose files are on this machine; None for an alias."""
    if reference.version is None or settings.registry_url.startswith("sqlite:"):
        return None
    with suppress(OSError, msgspec.MsgspecError):  # a missing or damaged entry is asked for again
        answer = msgspec.json.decode(_file(settings, reference.name, reference.version).read_bytes(), type=VersionFiles)
        return answer if is_local(settings.artifacts_url, answer, settings.home) else None
    return None


def _remember(name: str, answer: VersionFiles, settings: Settings) -> None:
    file = _file(settings, name, answer.version)
    if not settings.registry_url.startswith("sqlite:") and not file.exists():
        with suppress(OSError):  # a home that cannot be written serves all the same
            file.parent.mkdir(parents=True, exist_ok=True)
            write_whole(file, msgspec.json.encode(answer))


def _file(settings: Settings, name: str, version: int) -> Path:
    registry = hashlib.sha256(redact(settings.registry_url).encode()).hexdigest()[:16]
    return settings.home / "cache" / "answers" / registry / name / f"{version}.json"
