"""Which version should serve, looked at again and again: the pinned one, else the one that the alias names."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from mlpatterns.errors import MlpatternsError, PredictionError, RegistryDown, Unavailable
from mlpatterns.models.generation import Generation
from mlpatterns.models.located import asked
from mlpatterns.models.swap_figures import SwapFigures
from mlpatterns.models.swap_state import SharedState, SwapDocument
from mlpatterns.models.swap_words import outage
from mlpatterns.models.swapper import Swapper
from mlpatterns.predictor import Runtime
from mlpatterns.references import RegisteredReference

__all__ = ["Follower"]

log = logging.getLogger("mlpatterns")


class Follower:
    """Lets a swapper serve what registry and control store say; one swap at a time.

    Args:
        name: what is served, for those who read of it.
        check_every: seconds between two looks.
        swapped: told of each version that came to serve.

    Attributes:
        trouble: what is wrong, as strangers may read it, or nothing.
        document: what all processes shared at the last look.
    """

    def __init__(
        self,
        name: str,
        reference: RegisteredReference,
        swapper: Swapper,
        runtime: Runtime,
        figures: SwapFigures,
        *,
        check_every: float,
        swapped: Callable[[Generation], None],
    ) -> None:
        self._name, self._reference, self.swapper, self._runtime = name, reference, swapper, runtime
        self._figures, self._check_every, self._swapped = figures, check_every, swapped
        self._shared = SharedState(runtime.control, reference)
        self._lock = asyncio.Lock()
        self.document = SwapDocument()
        self.trouble = ""

    @property
    def busy(self) -> bool:
        """Whether it looks or swaps just now."""
        return self._lock.locked()

    async def begin(self) -> None:
        """The first look.

        Raises:
            MlpatternsError: what should serve cannot; where only registry or control store do not answer, that is
                trouble and no error.
        """
        try:
            await self._turn()
        except (RegistryDown, Unavailable) as error:
            self._say(outage(error), error)

    async def follow(self) -> None:
        """Looks until it is cancelled."""
        while True:
            await self._look()
            await self._runtime.clock.sleep(self._check_every)

    async def read(self) -> SwapDocument:
        """What all processes share now.

        Raises:
            Unavailable: the control store does not answer.
        """
        self.document = await self._shared.read()
        return self.document

    async def named(self) -> int:
        """The version that the alias names now.

        Raises:
            UnknownName, RegistryDown: there is none, or the registry does not answer.
        """
        return (await asked(self._reference, self._runtime)).version

    async def command(self, version: int, to: Callable[[SwapDocument], SwapDocument]) -> None:
        """Lets a version serve here first, so that one which cannot is refused here and pinned nowhere; then `to` makes
        the document by which all others do the same.

        Raises:
            MlpatternsError: it cannot serve, or registry or control store do not answer; nothing is shared.
        """
        async with self._lock:
            try:
                if self.swapper.serving is None or self.swapper.serving.version != version:
                    self._swapped(await self.swapper.swap(version))
                self.document = await self._shared.change(lambda now: to(now).with_served(version), by="command")
            except MlpatternsError:
                self.swapper.refusal = None  # nobody wants that version any more
                raise
            self._say("")

    async def _look(self) -> None:
        """One look; whatever is wrong is said, and the version that serves serves on."""
        async with self._lock:
            try:
                await self._turn()
            except (RegistryDown, Unavailable) as error:
                self._say(outage(error), error)
            except MlpatternsError as error:
                self._say(str(error))
            else:
                self._say("" if self.swapper.refusal is None else self.swapper.refusal.sentence)

    async def _turn(self) -> None:
        """Swaps to what should serve now, unless that does already or was refused a moment ago."""
        pin = (await self.read()).pin
        wanted = pin if pin is not None else await self.named()
        swapper = self.swapper
        if swapper.serving is not None and wanted == swapper.serving.version:
            swapper.refusal = None
        elif swapper.refusal is None or swapper.refusal.may_try(wanted, self._runtime.clock.monotonic()):
            self._swapped(await swapper.swap(wanted))
            await self._note(wanted)

    async def _note(self, version: int) -> None:
        try:
            self.document = await self._shared.change(lambda document: document.with_served(version), by="alias")
        except PredictionError as error:  # it serves; only the way back to it may be unknown
            log.warning("%s: version %d could not be noted as served: %s", self._name, version, error)

    def _say(self, trouble: str, error: Exception | None = None) -> None:
        """Trouble goes to health and metrics while it lasts, and to the log when it begins and ends."""
        if trouble and trouble != self.trouble:
            log.warning("%s: %s", self._name, trouble if error is None else error)
        elif self.trouble and not trouble:
            log.info("%s: well again", self._name)
        self.trouble = trouble
        self._figures.trouble(bool(trouble))
