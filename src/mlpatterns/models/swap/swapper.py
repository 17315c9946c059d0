"""How one version takes the place of another: loaded and checked beside it, one assignment, and then it drains."""

from __future__ import annotations

import logging
from collections.abc import Callable

from msgspec.structs import replace

from mlpatterns.errors import (
    ArtifactsDown,
    CompositionError,
    Conflict,
    MlpatternsError,
    NotFound,
    PredictionError,
    RegistryDown,
    Unavailable,
    UnknownName,
    UserError,
)  # fmt: skip
from mlpatterns.metadata import ModelMetadata
from mlpatterns.models.swap.checks import check_answers
from mlpatterns.models.swap.contract import Contract, check_contract
from mlpatterns.models.swap.state import Refusal, SwapFigures
from mlpatterns.predictor import InferenceResponse, Predictor, Runtime
from mlpatterns.references import RegisteredReference
from mlpatterns.runtime import leaves_first
from mlpatterns.runtime.replacing import start_checked, start_failure, stop_when_idle
from mlpatterns.user_code import awaited

__all__ = ["Generation", "Make", "Swapper", "VersionRefused", "outage", "refusal"]

log = logging.getLogger("mlpatterns")

GOES_ON = "the version that serves goes on"
MOST_RETIRING = 1000  # versions that answer their last requests at once

Make = Callable[[RegisteredReference], Predictor]


class VersionRefused(UserError):
    """A version could not take the place; its cause says why."""


class Generation:
    """A predictor that answers as version `version` of the model `model`.

    Attributes:
        inside: requests that it is answering; whoever asks `predictor` counts here.
        metadata: once it is started.
    """

    metadata: ModelMetadata

    def __init__(self, model: str, version: int, predictor: Predictor, runtime: Runtime) -> None:
        self.model, self.version, self.predictor, self._runtime = model, version, predictor, runtime
        self.name = f"{model}: version {version}"
        self.inside = 0

    @property
    def contract(self) -> Contract:
        return Contract.of(self.metadata)

    @property
    def busy(self) -> bool:
        return self.inside > 0

    async def start(self) -> None:
        await self._runtime.start_tree(self.predictor)
        self.metadata = replace(self.predictor.metadata, name=self.model, version=str(self.version))

    async def stop(self) -> None:
        await self._runtime.stop_tree(self.predictor)

    def named(self, a: InferenceResponse) -> InferenceResponse:
        """Whatever is inside, the answer names the version that the registry knows."""
        version = self.metadata.version
        if a.model_name == self.model and a.model_version == version:
            return a
        return replace(a, model_name=self.model, model_version=version)


class Swapper:
    """The version that serves, and those that still answer their last requests.

    Args:
        name: what is served, whichever version it is.
        model: whose versions they are.
        make: builds the predictor of one version.
        require_golden: refuse a version that has no golden set.

    Attributes:
        serving: the version that is asked, or None before the first.
        refusal: of the version that was last refused, until another serves.
    """

    def __init__(self, name: str, model: str, make: Make, runtime: Runtime, *, require_golden: bool) -> None:
        self.name, self._model, self._make, self.runtime = name, model, make, runtime
        self.figures, self._require_golden = SwapFigures(runtime.metrics, runtime.path), require_golden
        self.serving: Generation | None = None
        self.refusal: Refusal | None = None
        self._started: list[Generation] = []  # that serves, and those that are about to stop

    async def load(self, version: int, before: Contract | None) -> Generation:
        """A version that could serve: loaded and checked beside the one that does.

        Args:
            before: what clients rely on, which the version must keep to; None where there are none yet, or somebody has
                decided otherwise.

        Raises:
            VersionRefused: it could not.
            RegistryDown: it could not be asked for.
        """
        clock = self.runtime.clock
        began = clock.monotonic()
        try:
            fresh = await awaited(self._checked(version, before))
        except RegistryDown:
            raise
        except Exception as error:
            sentence = f"version {version} is refused: {start_failure(f'{self.name}: version {version}', error)}"
            self.refusal = Refusal.after(self.refusal, version, sentence, clock.monotonic())
            self.figures.refused.inc()
            raise VersionRefused(sentence) from error
        self.figures.seconds.observe(clock.monotonic() - began)
        return fresh

    def flip(self, fresh: Generation) -> None:
        """From now on `fresh` is asked."""
        before, self.serving, self.refusal = self.serving, fresh, None
        self._started.append(fresh)
        self.figures.swapped(fresh.version)
        log.info("%s serves%s", fresh.name, f", {before.version} goes" if before else "")
        if before is not None:
            self.runtime.begin("retire", lambda: self._retire(before), most=MOST_RETIRING)

    async def stop(self) -> None:
        """Stops all versions."""
        started, self._started, self.serving = self._started, [], None
        for generation in started:
            await generation.stop()

    async def _checked(self, version: int, before: Contract | None) -> Generation:
        reference = RegisteredReference(self._model, version=version)
        predictor = self._make(reference)
        if any(each.operations for each in leaves_first(predictor)):
            raise CompositionError("a piece with operations goes around a HotSwap: it would change with the model")
        fresh = Generation(self.name, version, predictor, self.runtime)

        async def check() -> None:
            if before is not None:
                check_contract(before, fresh.metadata)
            await check_answers(predictor, reference, self.runtime, required=self._require_golden)

        await start_checked(fresh, check)
        return fresh

    async def _retire(self, generation: Generation) -> None:
        await stop_when_idle(generation, self.runtime.settings, self.runtime.clock)
        self._started = [each for each in self._started if each is not generation]


# ---- what is said of a swap that did not come about: as strangers may read it, without the address of a store ----


def outage(error: RegistryDown | Unavailable, *, serving: bool) -> str:
    """The trouble while registry, files or control store do not answer."""
    if isinstance(error, RegistryDown):
        return f"{_silent(error)}; {GOES_ON}" if serving else _silent(error)
    return "the control store does not answer"


def refusal(error: MlpatternsError) -> PredictionError:
    """The answer to a command that was not carried out."""
    if isinstance(error, PredictionError):
        return error
    if isinstance(error, RegistryDown):
        return Unavailable(f"{_silent(error)}, so nothing was changed", retry_after=1)
    cause = error.__cause__
    if isinstance(error, UnknownName) or isinstance(cause, UnknownName):
        return NotFound(str(cause or error))
    return Conflict(f"{error}; {GOES_ON}")


def _silent(error: RegistryDown) -> str:
    what = "where the files of models are" if isinstance(error, ArtifactsDown) else "the registry"
    return f"{what} does not answer"
