"""Where a served model's files are: what a predictor asks at its start."""

from __future__ import annotations

from mlpatterns.predictor import Runtime
from mlpatterns.references import FileReference, Reference, RegisteredReference
from mlpatterns.registry.files import ModelFiles, bare
from mlpatterns.registry.locate import placed
from mlpatterns.stores.registry import Answer, Registry

__all__ = ["asked", "located"]


async def located(reference: Reference, runtime: Runtime) -> ModelFiles:
    """The verified files of a model.

    Raises:
        UnknownName: no such model, alias or version.
        ModelFileError: a file is missing or damaged.
        RegistryDown: the registry does not answer, or as ArtifactsDown where the files are.
    """
    if isinstance(reference, FileReference):
        path = reference.path
        return await runtime.offload(lambda: bare(path))
    name, answer, settings = reference.name, await asked(reference, runtime), runtime.settings
    return await runtime.offload(lambda: placed(name, answer, home=settings.home, artifacts=settings.artifacts_url))


async def asked(reference: RegisteredReference, runtime: Runtime) -> Answer:
    """The version that a reference stands for now; raises as `located`."""
    registry = await runtime.store(Registry, runtime.settings.registry_url)  # type: ignore[type-abstract]
    return await registry.find(reference)
