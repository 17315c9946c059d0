"""Which version should serve, looked at again and again: the pinned one, else the one that the alias names."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from mlpatterns.errors import Conflict, MlpatternsError, PredictionError, RegistryDown, Unavailable
from mlpatterns.interfaces import Shared
from mlpatterns.models.located import asked
from mlpatterns.models.swap_state import SwapDocument
from mlpatterns.models.swapper import Generation, Swapper, outage
from mlpatterns.references import RegisteredReference
from mlpatterns.runtime.replacing import abandoned

__all__ = ["Follower"]

log = logging.getLogger("mlpatterns")


class Follower:
    """Lets a swapper serve what registry and shared document say. One version is loaded at a time: when another should
    serve meanwhile, the load is given up.

    Args:
        shared: what all processes that serve this share.
        check_every: seconds between two looks.
        swapped: told of each version that came to serve.

    Attributes:
        trouble: what is wrong, as strangers may read it, or nothing.
    """

    def __init__(
        self,
        reference: RegisteredReference,
        swapper: Swapper,
        shared: Shared[SwapDocument],
        *,
        check_every: float,
        swapped: Callable[[Generation], None],
    ) -> None:
        self._reference, self.swapper, self.shared = reference, swapper, shared
        self._check_every, self._swapped, self._runtime = check_every, swapped, swapper.runtime
        self._loading: tuple[int, asyncio.Task[Generation]] | None = None
        self._given_up: set[asyncio.Task[None]] = set()
        self._commanded = asyncio.Lock()  # while a command is carried out nobody looks
        self._looking = False
        self._changed = asyncio.Event()  # the document, since it was read
        shared.watch(lambda _: self._changed.set())
        self.trouble = ""

    async def begin(self) -> None:
        """Looks until a version serves. With a registry that does not answer that is the last one that served.

        Raises:
            MlpatternsError: what should serve cannot; where only registry or control store do not answer, that is
                trouble and no error.
        """
        await self._look()
        while self.swapper.serving is None and not self.trouble:
            await self._pause()
            await self._look()

    async def follow(self) -> None:
        """Looks until it is cancelled: again and again, and as soon as a load has ended or the document changed."""
        while True:
            await self._pause()
            try:
                await self._look()
            except MlpatternsError as error:
                self._say(str(error))

    async def stop(self) -> None:
        """Ends what is being loaded, then all versions."""
        self._give_up_loading()
        await abandoned(self._given_up)
        await self.swapper.stop()

    async def named(self) -> int:
        """The version that the alias names now.

        Raises:
            UnknownName, RegistryDown: there is none, or the registry does not answer.
        """
        return (await asked(self._reference, self._runtime)).version

    async def command(self, version: int, to: Callable[[SwapDocument], SwapDocument], by: str) -> None:
        """Loads and checks a version, then writes the document by which all processes serve it, then serves it here: a
        command that fails has changed nothing anywhere. It ends the load of another version, that of a command too.

        Raises:
            MlpatternsError: it cannot serve, or registry or control store do not answer, or another command came.
        """
        if self._loading is not None and self._loading[0] != version:
            self._give_up_loading()
        async with self._commanded:
            refusal, loading = self.swapper.refusal, None
            try:
                if self.swapper.serving is None or self.swapper.serving.version != version:
                    loading = self._load(version)
                    await asyncio.wait([loading])
                    if self._loading is None or loading.cancelled():
                        raise Conflict("another command came meanwhile")
                    self._loading = None
                    loading.result()
                await self.shared.change(lambda now: to(now).with_served(version), by)
            except BaseException:
                self._give_up_loading()
                if loading is not None:
                    self._discard(loading)
                self.swapper.refusal = refusal  # nobody wants that version any more
                raise
            if loading is not None:
                self._flip(loading.result())
            self._say("")

    # ---- looking ----

    async def _pause(self) -> None:
        pause = asyncio.ensure_future(self._runtime.clock.sleep(self._check_every))
        try:
            await self._until_changed(pause, *([] if self._loading is None else [self._loading[1]]))
        finally:
            pause.cancel()

    async def _until_changed(self, *others: asyncio.Future[Any]) -> None:
        """Waits until the document changes, or one of `others` is done."""
        changed = asyncio.ensure_future(self._changed.wait())
        try:
            await asyncio.wait([changed, *others], return_when=asyncio.FIRST_COMPLETED)
        finally:
            changed.cancel()

    async def _look(self) -> None:
        """One look; what does not answer is said, and the version that serves serves on.

        Raises:
            MlpatternsError: what should serve cannot.
        """
        self._looking = True
        try:
            await self._update()
        except (RegistryDown, Unavailable) as error:
            self._say(outage(error, serving=self.swapper.serving is not None), error)
        else:
            self._say("" if self.swapper.refusal is None else self.swapper.refusal.sentence)
        finally:
            self._looking = False

    async def _update(self) -> None:
        """Loads what should serve now, unless that does already or was refused a moment ago; lets it serve once it is
        loaded, which a later look finds."""
        async with self._commanded:
            self._changed.clear()
        document, swapper = self.shared.document, self.swapper
        wanted = await self._wanted(document.value)
        if wanted is None or self._commanded.locked() or document is not self.shared.document:
            return  # a command or another process has decided meanwhile
        if swapper.serving is not None and wanted == swapper.serving.version:
            self._give_up_loading()
            swapper.refusal = None
            return
        refusal, now = swapper.refusal, self._runtime.clock.monotonic()
        if self._loading is None and refusal is not None and not refusal.may_try(wanted, now):
            return
        loading = self._load(wanted)
        if loading.done():
            self._loading = None
            self._flip(loading.result())
            await self._note(wanted)

    async def _wanted(self, document: SwapDocument) -> int | None:
        """The version that should serve, or None when the document changed before that was known."""
        if document.pin is not None:
            return document.pin
        asking = asyncio.ensure_future(self.named())
        try:
            await self._until_changed(asking)
            return asking.result() if asking.done() else None
        except RegistryDown:
            if self.swapper.serving is not None or not document.served:
                raise
            return document.served[-1]
        finally:
            asking.cancel()

    def _load(self, version: int) -> asyncio.Task[Generation]:
        """The task that loads a version, begun or under way; that of another is given up."""
        if self._loading is None or self._loading[0] != version:
            self._give_up_loading()
            self._loading = version, asyncio.create_task(self.swapper.load(version), name=f"load {self.swapper.name}")
        return self._loading[1]

    def _give_up_loading(self) -> None:
        loading, self._loading = self._loading, None
        if loading is not None:
            self._discard(loading[1])

    def _discard(self, loading: asyncio.Task[Generation]) -> None:
        task = asyncio.create_task(_discarded(loading))
        self._given_up.add(task)
        task.add_done_callback(self._given_up.discard)

    def _flip(self, fresh: Generation) -> None:
        self.swapper.flip(fresh)
        self._swapped(fresh)

    async def _note(self, version: int) -> None:
        try:
            await self.shared.change(lambda now: now if now.pin is not None else now.with_served(version), by="alias")
        except PredictionError as error:  # it serves; only the way back to it may be unknown
            log.warning("%s: version %d could not be noted as served: %s", self.swapper.name, version, error)

    def _say(self, trouble: str, error: Exception | None = None) -> None:
        """Trouble goes to health and metrics while it lasts, and to the log when it begins and ends."""
        if trouble and trouble != self.trouble:
            log.warning("%s: %s", self.swapper.name, trouble if error is None else error)
        elif self.trouble and not trouble:
            log.info("%s: well again", self.swapper.name)
        self.trouble = trouble
        self.swapper.figures.trouble.set(bool(trouble))


async def _discarded(loading: asyncio.Task[Generation]) -> None:
    """Ends a load, and stops what it has loaded."""
    loading.cancel()
    await asyncio.wait([loading])
    if not loading.cancelled() and loading.exception() is None:
        await loading.result().stop()
