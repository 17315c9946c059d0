"""Finds the files of a model when a predictor starts."""

from __future__ import annotations

import asyncio
from threading import Event

from mlpatterns.predictor import Runtime
from mlpatterns.references import FileReference, Reference, RegisteredReference
from mlpatterns.registry.files import ModelFiles, unregistered_files
from mlpatterns.registry.locate import cached_answer, fetch_version
from mlpatterns.registry.threads import start_thread
from mlpatterns.stores.registry import Registry, VersionFiles

__all__ = ["current_version", "find_model_files"]


async def find_model_files(reference: Reference, runtime: Runtime) -> ModelFiles:
    """The verified files of a model. If the caller is cancelled, the download stops.

    Raises:
        UnknownName: no such model, alias or version.
        ModelFileError: a file is missing or damaged.
        RegistryDown: the registry does not answer; ArtifactsDown, a subclass: the artifact store does not answer.
    """
    if isinstance(reference, FileReference):
        path = reference.path
        return await runtime.offload(lambda: unregistered_files(path))
    settings, stop = runtime.settings, Event()
    answer = cached_answer(reference, settings) or await current_version(reference, runtime)
    fetching = start_thread(
        lambda: fetch_version(reference.name, answer, settings, stop), f"fetch {reference.name}:{answer.version}"
    )
    try:
        return await asyncio.wrap_future(fetching)
    finally:
        stop.set()  # a cancelled caller does not wait for the thread, which stops within seconds


async def current_version(reference: RegisteredReference, runtime: Runtime) -> VersionFiles:
    """The version that a reference names now, as the registry reports it.

    Raises:
        UnknownName: no such model, alias or version.
        RegistryDown: the registry does not answer.
    """
    registry = await runtime.store(Registry, runtime.settings.registry_url)  # type: ignore[type-abstract]
    return await registry.find(reference)
