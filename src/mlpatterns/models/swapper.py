"""How one version takes the place of another: loaded and checked beside it, one assignment, and then it drains."""

from __future__ import annotations

import logging
from collections.abc import Callable

from mlpatterns.errors import CompositionError, MlpatternsError, RegistryDown, UserError
from mlpatterns.models.generation import Generation
from mlpatterns.models.swap_checks import check_answers, check_contract
from mlpatterns.models.swap_figures import Refusal, SwapFigures
from mlpatterns.predictor import Predictor, Runtime
from mlpatterns.references import RegisteredReference
from mlpatterns.runtime import leaves_first, until_idle

__all__ = ["Swapper", "VersionRefused"]

log = logging.getLogger("mlpatterns")

PATIENCE = 5.0  # seconds beyond the time limit of requests, after which a version is stopped whatever it does

MOST_RETIRING = 1000  # versions that answer their last requests at once

Make = Callable[[RegisteredReference], Predictor]


class VersionRefused(UserError):
    """A version could not take the place; its cause says why."""


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

    def __init__(
        self, name: str, model: str, make: Make, runtime: Runtime, figures: SwapFigures, *, require_golden: bool
    ) -> None:
        self._name, self._model, self._make, self._runtime, self._figures = name, model, make, runtime, figures
        self._require_golden = require_golden
        self.serving: Generation | None = None
        self.refusal: Refusal | None = None
        self._leaving: list[Generation] = []

    async def swap(self, version: int) -> Generation:
        """Lets a version serve, and returns it; one call at a time.

        Raises:
            VersionRefused: it cannot; what served goes on.
            RegistryDown: it could not be asked for.
        """
        clock = self._runtime.clock
        began = clock.monotonic()
        try:
            fresh = await self._loaded(version)
        except RegistryDown:
            raise
        except Exception as error:
            sentence = f"version {version} is refused: {self._why(version, error)}"
            self.refusal = Refusal.after(self.refusal, version, sentence, clock.monotonic())
            self._figures.refused()
            raise VersionRefused(sentence) from error
        before, self.serving, self.refusal = self.serving, fresh, None  # from here on it is asked
        self._figures.swapped(version, clock.monotonic() - began)
        log.info("%s: version %d serves%s", self._name, version, f", {before.version} goes" if before else "")
        if before is not None:
            self._leaving.append(before)
            self._runtime.begin("retire", lambda: self._retire(before), most=MOST_RETIRING)
        return fresh

    async def stop(self) -> None:
        """Stops all versions."""
        generations = [*self._leaving, *([self.serving] if self.serving is not None else [])]
        self.serving, self._leaving = None, []
        for generation in generations:
            await self._runtime.stop_tree(generation.predictor)

    async def _loaded(self, version: int) -> Generation:
        reference = RegisteredReference(self._model, version=version)
        predictor = self._make(reference)
        if any(each.operations for each in leaves_first(predictor)):
            raise CompositionError("a piece with operations goes around a HotSwap: it would change with the model")
        await self._runtime.start_tree(predictor)
        try:
            fresh = Generation(self._name, version, predictor)
            if self.serving is not None:
                check_contract(self.serving.metadata, fresh.metadata)
            await check_answers(predictor, reference, self._runtime, required=self._require_golden)
        except BaseException:
            await self._runtime.stop_tree(predictor)
            raise
        return fresh

    def _why(self, version: int, error: Exception) -> str:
        if isinstance(error, MlpatternsError):
            return str(error)
        log.error("%s: version %d did not start", self._name, version, exc_info=error)
        return "its start failed, and the log says how"

    async def _retire(self, generation: Generation) -> None:
        seconds = self._runtime.settings.request_timeout + PATIENCE
        if not await until_idle(lambda: generation.busy, self._runtime.clock, seconds):
            log.warning("%s: version %d is stopped while it answers %d", self._name, generation.version,
                        generation.inside)  # fmt: skip
        if generation in self._leaving:
            self._leaving.remove(generation)
            await self._runtime.stop_tree(generation.predictor)
