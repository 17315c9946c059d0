"""Checks a version before an alias moves to it: compares its signature with the current version, and tests its answers.

The check runs on a machine that can load the model. A server that follows the alias checks the version again.
"""

from __future__ import annotations

import asyncio

from mlpatterns.errors import MlpatternsError, PredictionError
from mlpatterns.models.onnx.onnx import OnnxModel
from mlpatterns.models.sample.answers import check_finite, check_sample
from mlpatterns.models.swap.checks import check_golden
from mlpatterns.references import RegisteredReference
from mlpatterns.registry.golden import golden_set
from mlpatterns.registry.signature import difference, signature_of
from mlpatterns.registry.threaded import ThreadedRegistry
from mlpatterns.runtime import running
from mlpatterns.settings import Settings
from mlpatterns.stores.registry import VersionFiles
from mlpatterns.user_errors import ModelFileError, RegistryDown, UnknownName, UserError

__all__ = ["check_release"]


def check_release(name: str, number: int, alias: str, settings: Settings) -> int | None:
    """Checks that an alias may move to version `number`. Returns the version that the alias names now, or None.

    The version must have the same inputs, outputs and labels as the current one. It must load on this machine, and
    answer its golden set as it did at registration, or its sample with finite numbers. This blocks: call it in a thread
    without an event loop.

    Raises:
        UserError: the alias may not move; the text gives the reason.
        UnknownName: there is no such model or version.
        RegistryDown: the registry or the artifact store does not answer.
    """
    before, after = _named(name, number, alias, settings)
    if before is not None and before.version != number:
        _check_signature(name, before, after, alias, settings)
    try:
        asyncio.run(_check_answers(RegisteredReference(name, version=number), settings))
    except (RegistryDown, UnknownName):
        raise
    except (MlpatternsError, PredictionError) as error:
        raise ModelFileError(f"{name}:{number} cannot be released: {error}") from error
    return before.version if before is not None else None


def _named(name: str, number: int, alias: str, settings: Settings) -> tuple[VersionFiles | None, VersionFiles]:
    """The registry's entries for the version that the alias names now (or None), and for version `number`."""
    registry = ThreadedRegistry(settings.registry_url)
    try:
        after = registry.find_blocking(RegisteredReference(name, version=number))
        return _by_alias(registry, RegisteredReference(name, alias)), after
    finally:
        registry.end()


def _by_alias(registry: ThreadedRegistry, reference: RegisteredReference) -> VersionFiles | None:
    try:
        return registry.find_blocking(reference)
    except UnknownName as error:
        if error.kind != "model alias":
            raise
        return None


def _check_signature(name: str, before: VersionFiles, after: VersionFiles, alias: str, settings: Settings) -> None:
    new = signature_of(settings.artifacts_url, after, what=f"{name}:{after.version}")
    try:
        old = signature_of(settings.artifacts_url, before, what=f"{name}:{before.version}")
    except RegistryDown:
        raise
    except UserError as error:
        raise ModelFileError(
            f"{name}:{after.version} cannot be compared with what {alias} names now: {error}"
        ) from error
    if changed := difference(old, new):
        raise ModelFileError(
            f"{name}:{after.version} would break the clients of {name}:{before.version}, which {alias} names: {changed}"
        )


async def _check_answers(reference: RegisteredReference, settings: Settings) -> None:
    model = OnnxModel(reference)
    async with running(model, settings=settings):
        assert model.files is not None  # it is started
        golden = golden_set(model.files)
        if golden is None:
            await check_sample(model)
            return
        check_finite(golden.outputs)
        await check_golden(model, golden)
