"""Replaces one version by another: the new version is loaded and checked, then it serves, and the old one drains."""

from __future__ import annotations

import logging
from collections.abc import Callable

from msgspec.structs import replace

from mlpatterns.metadata import ModelMetadata
from mlpatterns.models.swap.checks import Contract, check_answers, check_contract
from mlpatterns.models.swap.trouble import RefusedVersion, SwapMetrics
from mlpatterns.predictor import InferenceResponse, Predictor, Runtime
from mlpatterns.references import RegisteredReference
from mlpatterns.runtime import leaves_first
from mlpatterns.runtime.replacing import start_checked, start_failure, stop_when_idle
from mlpatterns.user_code import await_user_code
from mlpatterns.user_errors import CompositionError, RegistryDown, UserError

__all__ = ["LoadedVersion", "Make", "Swapper", "VersionRefused"]

log = logging.getLogger("mlpatterns")

MOST_RETIRING = 1000  # versions that may answer their last requests at the same time

Make = Callable[[RegisteredReference], Predictor]


class VersionRefused(UserError):
    """A version cannot serve. The cause of this error is the reason."""


class LoadedVersion:
    """A loaded version of a model.

    Attributes:
        in_flight: the number of requests in progress; the caller of `predictor` counts them.
        metadata: the metadata of the version; `start` sets it.
    """

    metadata: ModelMetadata

    def __init__(self, model: str, version: int, predictor: Predictor, runtime: Runtime) -> None:
        self.model, self.version, self.predictor, self._runtime = model, version, predictor, runtime
        self.name = f"{model}: version {version}"
        self.in_flight = 0

    @property
    def contract(self) -> Contract:
        return Contract.of(self.metadata)

    @property
    def busy(self) -> bool:
        return self.in_flight > 0

    async def start(self) -> None:
        await self._runtime.start_tree(self.predictor)
        self.metadata = replace(self.predictor.metadata, name=self.model, version=str(self.version))

    async def stop(self) -> None:
        await self._runtime.stop_tree(self.predictor)

    def named(self, a: InferenceResponse) -> InferenceResponse:
        """The answer with this model's name and registry version, which pieces inside `predictor` may have changed."""
        version = self.metadata.version
        if a.model_name == self.model and a.model_version == version:
            return a
        return replace(a, model_name=self.model, model_version=version)


class Swapper:
    """The version that serves, and the versions that still answer their last requests.

    Args:
        name: the name that all versions are served under.
        model: the name of the registered model.
        make: builds the predictor of one version.
        require_golden: whether to refuse a version that has no golden set.
        swapped: called with each version when it begins to serve.

    Attributes:
        serving: the version that gets the requests; None before the first version serves.
        refusal: the record of the last refused version; None after another version begins to serve.
    """

    def __init__(
        self,
        name: str,
        model: str,
        make: Make,
        runtime: Runtime,
        *,
        require_golden: bool,
        swapped: Callable[[LoadedVersion], None],
    ) -> None:
        self.name, self._model, self._make, self.runtime = name, model, make, runtime
        self.metrics, self._require_golden = SwapMetrics(runtime.metrics, runtime.path), require_golden
        self._swapped = swapped
        self.serving: LoadedVersion | None = None
        self.refusal: RefusedVersion | None = None
        self._started: list[LoadedVersion] = []  # the version that serves, and those that are about to stop

    async def load(self, version: int, before: Contract | None) -> LoadedVersion:
        """Loads and checks a version while another one serves.

        Args:
            before: the contract that the version must keep; None if there is none to keep, for example for the first
                version, or if a command forces the version.

        Raises:
            VersionRefused: the version cannot serve.
            RegistryDown: the registry or the artifact store does not answer.
        """
        clock = self.runtime.clock
        began = clock.monotonic()
        try:
            fresh = await await_user_code(self._checked(version, before))
        except RegistryDown:
            raise
        except Exception as error:
            sentence = f"version {version} is refused: {start_failure(f'{self.name}: version {version}', error)}"
            self.refusal = RefusedVersion.after(self.refusal, version, sentence, clock.monotonic())
            self.metrics.refused.inc()
            raise VersionRefused(sentence) from error
        self.metrics.seconds.observe(clock.monotonic() - began)
        return fresh

    def flip(self, fresh: LoadedVersion) -> None:
        """Makes `fresh` serve. The version that served is stopped when its last request has ended."""
        before, self.serving, self.refusal = self.serving, fresh, None
        self._started.append(fresh)
        self._swapped(fresh)
        self.metrics.swapped(fresh.version)
        log.info("%s serves%s", fresh.name, f"; version {before.version} stops" if before else "")
        if before is not None:
            self.runtime.begin("retire", lambda: self._retire(before), most=MOST_RETIRING)

    async def stop(self) -> None:
        """Stops all versions."""
        started, self._started, self.serving = self._started, [], None
        for loaded in started:
            await loaded.stop()

    async def _checked(self, version: int, before: Contract | None) -> LoadedVersion:
        reference = RegisteredReference(self._model, version=version)
        predictor = self._make(reference)
        if any(each.operations for each in leaves_first(predictor)):
            raise CompositionError("a piece with operations goes around a HotSwap: it would change with the model")
        fresh = LoadedVersion(self.name, version, predictor, self.runtime)

        async def check() -> None:
            if before is not None:
                check_contract(before, fresh.metadata)
            await check_answers(predictor, reference, self.runtime, required=self._require_golden)

        await start_checked(fresh, check)
        return fresh

    async def _retire(self, loaded: LoadedVersion) -> None:
        await stop_when_idle(loaded, self.runtime.settings, self.runtime.clock)
        self._started = [each for each in self._started if each is not loaded]
