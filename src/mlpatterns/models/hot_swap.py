"""HotSwap: a model that changes to the version its alias names, while it serves.

A version is fetched, verified, loaded, warmed and held against its golden set beside the one that serves; then one
assignment makes it the one that is asked, and the one before is stopped when its last request has ended. So no request
fails for a swap, and each is answered by one version, which the answer names. A version that fails on the way changes
nothing: the one before serves on, and health, metrics and log say why.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from types import NoneType

from msgspec import Struct

from mlpatterns.errors import (
    ArtifactsDown,
    CompositionError,
    Conflict,
    MlpatternsError,
    NotFound,
    NotStarted,
    PredictionError,
    RegistryDown,
    Unavailable,
    UnknownName,
)
from mlpatterns.models.generation import Generation
from mlpatterns.models.located import asked
from mlpatterns.models.onnx import OnnxModel
from mlpatterns.models.swap_figures import SwapFigures, SwapState
from mlpatterns.models.swap_state import SharedState, SwapDocument
from mlpatterns.models.swapper import Make, Swapper
from mlpatterns.predictor import (
    BasePredictor,
    InferenceRequest,
    InferenceResponse,
    ModelMetadata,
    Operation,
    Runtime,
)
from mlpatterns.references import Reference, RegisteredReference, parse_reference

__all__ = ["HotSwap", "SwapTo"]

log = logging.getLogger("mlpatterns")

GOES_ON = "the version that serves goes on"


class SwapTo(Struct, frozen=True, forbid_unknown_fields=True):
    """What the command `swap` takes: the number of the version to serve from now on."""

    version: int


class HotSwap(BasePredictor):
    """Serves the version that an alias names, and follows it.

    Its commands pin a version, roll back to the one before, and follow the alias again. They are written to the setting
    `control`, so that all workers and replicas that share it do the same within a second.

    Args:
        reference: ``name`` or ``name@alias``; of ``name:3`` version 3 serves until a command says otherwise.
        make: builds the predictor of one version, from a reference like ``name:3`` that it gives to an OnnxModel; it
            may put pieces around it that have no operations.
        check_every: seconds between two looks at the registry and at the control store.
        require_golden: refuse a version that has no golden set.
        name: what to serve it as; by default the model's name.

    Raises:
        CompositionError: `reference` is a file, which has no versions.
        UnknownName, ModelFileError: at start: there is no such model, or it cannot be served. Where only the registry
            does not answer it starts all the same, and is ready when it was asked.
    """

    def __init__(
        self,
        reference: str | Reference,
        make: Make = OnnxModel,
        *,
        check_every: float = 0.25,
        require_golden: bool = False,
        name: str | None = None,
    ) -> None:
        parsed = parse_reference(reference) if isinstance(reference, str) else reference
        if not isinstance(parsed, RegisteredReference):
            raise CompositionError(f"a HotSwap serves the versions of a registered model, and {parsed} has none")
        if check_every <= 0:
            raise CompositionError("check_every must be greater than 0 seconds")
        super().__init__(name or parsed.name)
        self.reference, self.make, self.check_every, self.require_golden = parsed, make, check_every, require_golden
        self.trouble = ""
        self.operations = (
            Operation("swap", "query", "public", NoneType, SwapState, self._state),
            Operation("swap", "command", "token", SwapTo, SwapState, self._to),
            Operation("swap/rollback", "command", "token", NoneType, SwapState, self._roll_back),
            Operation("swap/follow", "command", "token", NoneType, SwapState, self._follow_again),
        )
        self._swapper: Swapper | None = None

    # ---- a predictor ----

    @property
    def metadata(self) -> ModelMetadata:
        return self._generation().metadata

    def identity(self) -> str | None:
        serving = self._serving
        return None if serving is None else serving.predictor.identity()

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        serving = self._serving
        if serving is None:
            raise Unavailable(f"the model {self.name!r} is not ready yet", retry_after=1)
        return await serving.predict(request)

    def stream(self, request: InferenceRequest) -> AsyncIterator[InferenceResponse]:
        return self._generation().stream(request)

    @property
    def _serving(self) -> Generation | None:
        return None if self._swapper is None else self._swapper.serving

    def _generation(self) -> Generation:
        serving = self._serving
        if serving is None:
            raise NotStarted(self.name)
        return serving

    async def start(self, runtime: Runtime) -> None:
        self._runtime, self._lock = runtime, asyncio.Lock()
        self._shared, self._document = SharedState(runtime.control, self.reference), SwapDocument()
        self._figures = SwapFigures(runtime.metrics, self.name)
        self._swapper = Swapper(
            self.name, self.reference.name, self.make, runtime, self._figures, require_golden=self.require_golden
        )
        self.trouble = ""
        try:
            await self._turn(self._swapper)
        except (RegistryDown, Unavailable) as error:
            self._say(_outside(error), error)
        runtime.spawn(f"follow {self.name}", self._follow)

    async def stop(self) -> None:
        swapper, self._swapper, self.children = self._swapper, None, {}
        if swapper is not None:
            await swapper.stop()

    # ---- following ----

    async def _follow(self) -> None:
        while self._swapper is not None:
            await self._look(self._swapper)
            await self._runtime.clock.sleep(self.check_every)

    async def _look(self, swapper: Swapper) -> None:
        """One look at what should serve; whatever is wrong with it is said, and the version that serves serves on."""
        async with self._lock:
            try:
                await self._turn(swapper)
            except (RegistryDown, Unavailable) as error:
                self._say(_outside(error), error)
            except MlpatternsError as error:
                self._say(str(error))
            else:
                self._say("" if swapper.refusal is None else swapper.refusal.sentence)

    async def _turn(self, swapper: Swapper) -> None:
        """Swaps to what should serve now, unless that does already or was refused a moment ago.

        Raises:
            MlpatternsError: it is not known, or cannot serve.
        """
        self._document = await self._shared.read()
        pin = self._document.pin
        wanted = pin if pin is not None else (await asked(self.reference, self._runtime)).version
        if swapper.serving is not None and wanted == swapper.serving.version:
            swapper.refusal = None
        elif swapper.refusal is None or swapper.refusal.may_try(wanted, self._runtime.clock.monotonic()):
            await self._swap(swapper, wanted)
            await self._note(wanted)

    async def _swap(self, swapper: Swapper, version: int) -> None:
        self.children = {"model": (await swapper.swap(version)).predictor}

    async def _note(self, version: int) -> None:
        try:
            self._document = await self._shared.change(lambda document: document.with_served(version), by="alias")
        except PredictionError as error:  # it serves; only the way back to it may be unknown
            log.warning("%s: version %d could not be noted as served: %s", self.name, version, error)

    # ---- what it says ----

    def _say(self, trouble: str, error: Exception | None = None) -> None:
        """Trouble goes to health and metrics while it lasts, and to the log when it begins and ends."""
        if trouble and trouble != self.trouble:
            log.warning("%s: %s", self.name, trouble if error is None else error)
        elif self.trouble and not trouble:
            log.info("%s: well again", self.name)
        self.trouble = trouble
        self._figures.trouble(bool(trouble))

    async def _state(self, _: None) -> SwapState:
        """Which version serves, which would after a rollback, and what is wrong, if anything is."""
        serving = self._serving
        version = None if serving is None else serving.version
        return SwapState(
            model=self.name,
            follows=str(self.reference),
            version=version,
            identity=self.identity(),
            pinned=self._document.pin,
            previous=self._document.before(version),
            trouble=self.trouble,
        )

    # ---- commands ----

    async def _to(self, told: SwapTo) -> SwapState:
        """Serves a version, whatever the alias names, until told otherwise.

        Raises:
            NotFound: there is no such version.
            Conflict: it cannot be served, and the one before goes on.
            Unavailable: registry or control store do not answer.
        """
        return await self._commanded(told.version, lambda document: SwapDocument(told.version, document.served))

    async def _roll_back(self, _: None) -> SwapState:
        """Serves the version that served before, whatever the alias names, until told otherwise; raises as `swap`."""
        self._document = await self._shared.read()
        serving = self._serving
        version = self._document.before(None if serving is None else serving.version)
        if version is None:
            raise Conflict("no other version served before this one, so there is none to roll back to")
        return await self._commanded(version, lambda document: document.rolled_back(version))

    async def _follow_again(self, _: None) -> SwapState:
        """Serves what the alias names, from now on; raises as `swap`."""
        try:
            version = (await asked(self.reference, self._runtime)).version
        except MlpatternsError as error:
            raise _told(error) from error
        return await self._commanded(version, lambda document: SwapDocument(None, document.served))

    async def _commanded(self, version: int, to: Callable[[SwapDocument], SwapDocument]) -> SwapState:
        """Here first, so that a version which cannot serve is refused here and pinned nowhere; then for all."""
        swapper = self._swapper
        if swapper is None:
            raise Unavailable("the server is stopping", retry_after=1)
        async with self._lock:
            try:
                if swapper.serving is None or swapper.serving.version != version:
                    await self._swap(swapper, version)
                self._document = await self._shared.change(lambda now: to(now).with_served(version), by="command")
            except MlpatternsError as error:
                swapper.refusal = None  # nobody wants that version any more
                raise _told(error) from error
            self._say("")
        return await self._state(None)


def _outside(error: Exception) -> str:
    """As strangers may read it: without the address of a store."""
    if isinstance(error, RegistryDown):
        return f"{_silent(error)}; {GOES_ON}"
    return "the control store does not answer"


def _silent(error: RegistryDown) -> str:
    what = "where the files of models are" if isinstance(error, ArtifactsDown) else "the registry"
    return f"{what} does not answer"


def _told(error: MlpatternsError) -> PredictionError:
    if isinstance(error, PredictionError):
        return error
    if isinstance(error, RegistryDown):
        return Unavailable(f"{_silent(error)}, so nothing was changed", retry_after=1)
    cause = error.__cause__
    if isinstance(error, UnknownName) or isinstance(cause, UnknownName):
        return NotFound(str(cause or error))
    return Conflict(f"{error}; {GOES_ON}")
