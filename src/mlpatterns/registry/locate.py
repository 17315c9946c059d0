"""Finds the verified files for a model reference.

The registry's answer for a version number is cached on this machine, because a number always names the same version. So
a version whose files are here can be served while the registry is down. A registry in a file is queried each time,
because it cannot hang.
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
    """Finds a model and checks its files against their SHA-256. It blocks, so call it in a thread.

    Args:
        reference: a reference or its text.
        settings: contains the URLs of the registry (a database or a service) and of the artifacts, and the home, below
            which fetched artifacts are cached.

    Raises:
        UnknownName: no such model, alias or version.
        ModelFileError: a file is missing or damaged.
        MissingExtra: the registry's driver is not installed.
        RegistryDown: the registry does not answer; as ArtifactsDown if the store of the files does not answer.
        UserError: the text is not a reference.
    """
    parsed = parse_reference(reference) if isinstance(reference, str) else reference
    if isinstance(parsed, FileReference):
        return unregistered_files(parsed.path)
    return fetch_version(parsed.name, find_version(parsed, settings), settings)


def find_version(reference: RegisteredReference, settings: Settings) -> VersionFiles:
    """The version that a reference names now. Raises as `locate` does."""
    known = cached_answer(reference, settings)
    if known is not None:
        return known
    registry = ThreadedRegistry(settings.registry_url)
    try:
        return registry.find_blocking(reference)
    finally:
        registry.end()


def fetch_version(name: str, answer: VersionFiles, settings: Settings, stop: Event | None = None) -> ModelFiles:
    """The files of a version, fetched if they are not on this machine, and checked against their SHA-256.

    Setting `stop` stops a fetch. The registry's answer is cached.

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
    """The cached answer for a version number whose files are on this machine, or None. Always None for an alias."""
    if reference.version is None or settings.registry_url.startswith("sqlite:"):
        return None
    with suppress(OSError, msgspec.MsgspecError):  # if the entry is missing or damaged, the registry is queried
        answer = msgspec.json.decode(_file(settings, reference.name, reference.version).read_bytes(), type=VersionFiles)
        return answer if is_local(settings.artifacts_url, answer, settings.home) else None
    return None


def _remember(name: str, answer: VersionFiles, settings: Settings) -> None:
    file = _file(settings, name, answer.version)
    if not settings.registry_url.startswith("sqlite:") and not file.exists():
        with suppress(OSError):  # serving works even if the home cannot be written
            file.parent.mkdir(parents=True, exist_ok=True)
            write_whole(file, msgspec.json.encode(answer))


def _file(settings: Settings, name: str, version: int) -> Path:
    registry = hashlib.sha256(redact(settings.registry_url).encode()).hexdigest()[:16]
    return settings.home / "cache" / "answers" / registry / name / f"{version}.json"
