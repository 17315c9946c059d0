"""Which version should serve, looked at again and again: the pinned one, else the one that the alias names."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from mlpatterns.errors import MlpatternsError, PredictionError, RegistryDown, Unavailable
from mlpatterns.interfaces import Shared
from mlpatterns.models.generation import Generation
from mlpatterns.models.located import asked
from mlpatterns.models.swap_figures import SwapFigures
from mlpatterns.models.swap_state import SwapDocument
from mlpatterns.models.swap_words import outage
from mlpatterns.models.swapper import Swapper
from mlpatterns.predictor import Runtime
from mlpatterns.references import RegisteredReference

__all__ = ["Follower"]

log = logging.getLogger("mlpatterns")


class Follower:
    """Lets a swapper serve what registry and shared document say. One version is loaded at a time: when another should
    serve meanwhile, the load is given up.

    Args:
        name: what is served, for those who read of it.
        shared: what all processes that serve this share.
        check_every: seconds between two looks.
        swapped: told of each version that came to serve.

    Attributes:
        trouble: what is wrong, as strangers may read it, or nothing.
    """

    def __init__(
        self,
        name: str,
        reference: RegisteredReference,
        swapper: Swapper,
        runtime: Runtime,
        figures: SwapFigures,
        shared: Shared[SwapDocument],
        *,
        check_every: float,
        swapped: Callable[[Generation], None],
    ) -> None:
        self._name, self._reference, self.swapper, self._runtime = name, reference, swapper, runtime
        self._figures, self.shared, self._check_every, self._swapped = figures, shared, check_every, swapped
        self._loading: tuple[int, asyncio.Task[Generation]] | None = None
        self._given_up: set[asyncio.Task[None]] = set()
        self._commanded = asyncio.Lock()  # while a command is carried out nobody looks
        self._looking = False
        self._look_now = asyncio.Event()
        shared.watch(lambda _: self._look_now.set())
        self.trouble = ""

    @property
    def busy(self) -> bool:
        """Whether it looks, loads or is commanded just now."""
        return self._looking or self._loading is not None or self._commanded.locked()

    async def begin(self) -> None:
        """The first look.

        Raises:
            MlpatternsError: what should serve cannot; where only registry or control store do not answer, that is
                trouble and no error.
        """
        try:
            await self._turn(wait=True)
        except (RegistryDown, Unavailable) as error:
            self._say(outage(error), error)

    async def follow(self) -> None:
        """Looks until it is cancelled: again and again, and as soon as a load or the document says so."""
        while True:
            await self._look()
            pause = asyncio.ensure_future(self._runtime.clock.sleep(self._check_every))
            woken = asyncio.ensure_future(self._look_now.wait())
            loading = [] if self._loading is None else [self._loading[1]]
            try:
                await asyncio.wait([pause, woken, *loading], return_when=asyncio.FIRST_COMPLETED)
            finally:
                pause.cancel()
                woken.cancel()
                self._look_now.clear()

    async def stop(self) -> None:
        """Ends what is being loaded, then all versions."""
        self._give_up_loading()
        await asyncio.gather(*self._given_up, return_exceptions=True)
        await self.swapper.stop()

    async def named(self) -> int:
        """The version that the alias names now.

        Raises:
            UnknownName, RegistryDown: there is none, or the registry does not answer.
        """
        return (await asked(self._reference, self._runtime)).version

    async def command(self, version: int, to: Callable[[SwapDocument], SwapDocument], by: str) -> None:
        """Loads and checks a version, then writes the document by which all processes serve it, then serves it here: a
        command that fails has changed nothing anywhere.

        Raises:
            MlpatternsError: it cannot serve, or registry or control store do not answer.
        """
        async with self._commanded:
            fresh = None
            try:
                if self.swapper.serving is None or self.swapper.serving.version != version:
                    fresh = await asyncio.shield(self._load(version))
                await self.shared.change(lambda now: to(now).with_served(version), by)
            except BaseException as error:
                self._give_up_loading()
                if isinstance(error, MlpatternsError):
                    self.swapper.refusal = None  # nobody wants that version any more
                raise
            if fresh is not None:
                self._flip(fresh)
            self._say("")

    # ---- looking ----

    async def _look(self) -> None:
        """One look; whatever is wrong is said, and the version that serves serves on."""
        self._looking = True
        try:
            if not self._commanded.locked():
                await self._turn()
        except (RegistryDown, Unavailable) as error:
            self._say(outage(error), error)
        except MlpatternsError as error:
            self._say(str(error))
        else:
            self._say("" if self.swapper.refusal is None else self.swapper.refusal.sentence)
        finally:
            self._looking = False

    async def _turn(self, *, wait: bool = False) -> None:
        """Loads what should serve now, unless that does already or was refused a moment ago; lets it serve once it is
        loaded, which is `wait`ed for, or found by a later look."""
        pin = self.shared.document.value.pin
        wanted = pin if pin is not None else await self.named()
        swapper = self.swapper
        if self._commanded.locked():
            return  # it came meanwhile, and knows better
        if swapper.serving is not None and wanted == swapper.serving.version:
            self._give_up_loading()
            swapper.refusal = None
            return
        refusal, now = swapper.refusal, self._runtime.clock.monotonic()
        if self._loading is None and refusal is not None and not refusal.may_try(wanted, now):
            return
        task = self._load(wanted)
        if wait:
            await asyncio.wait([task])
        if task.done():
            self._loading = None
            self._flip(task.result())
            await self._note(wanted)

    def _load(self, version: int) -> asyncio.Task[Generation]:
        """The task that loads a version, begun or under way; that of another is given up."""
        if self._loading is None or self._loading[0] != version:
            self._give_up_loading()
            self._loading = version, asyncio.create_task(self.swapper.load(version), name=f"load {self._name}")
        return self._loading[1]

    def _give_up_loading(self) -> None:
        loading, self._loading = self._loading, None
        if loading is not None:
            task = asyncio.create_task(self._discarded(loading[1]))
            self._given_up.add(task)
            task.add_done_callback(self._given_up.discard)

    async def _discarded(self, loading: asyncio.Task[Generation]) -> None:
        loading.cancel()
        await asyncio.wait([loading])
        if not loading.cancelled() and loading.exception() is None:
            await loading.result().stop()

    def _flip(self, fresh: Generation) -> None:
        self._loading = None
        self.swapper.flip(fresh)
        self._swapped(fresh)

    async def _note(self, version: int) -> None:
        try:
            await self.shared.change(lambda document: document.with_served(version), by="alias")
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
