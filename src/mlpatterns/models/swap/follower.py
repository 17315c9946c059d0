"""Which version should serve, looked at again and again: the pinned one, else the one that the alias names."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from msgspec.structs import replace

from mlpatterns.errors import Conflict, MlpatternsError, RegistryDown, Unavailable
from mlpatterns.interfaces import Document, Shared
from mlpatterns.models.located import asked
from mlpatterns.models.swap.contract import Contract
from mlpatterns.models.swap.load import OneLoad
from mlpatterns.models.swap.noting import Noting
from mlpatterns.models.swap.state import SwapDocument
from mlpatterns.models.swap.swapper import Generation, Swapper, outage
from mlpatterns.models.swap.waiting import Changes
from mlpatterns.references import RegisteredReference

__all__ = ["Follower"]

log = logging.getLogger("mlpatterns")


class Follower:
    """Lets a swapper serve what registry and shared document say.

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
        self._reference, self._follows = reference, str(reference)
        self.swapper, self.shared = swapper, shared
        self._check_every, self._swapped, self._runtime = check_every, swapped, swapper.runtime
        self._loading = OneLoad(swapper)
        self._noting = Noting(swapper.name, self._follows, shared, swapper.runtime)
        self._commanded = asyncio.Lock()  # while a command is carried out nobody looks
        self._looking = False
        self._changed = Changes()
        shared.watch(self._told)
        self.trouble = ""

    async def begin(self) -> None:
        """Looks until what should serve does, or is known not to be able to. What served last, here or elsewhere, comes
        first: so what should serve now is held against it, and refused where those refuse it that run already.

        Raises:
            MlpatternsError: what should serve cannot, nor can what served last; where only registry or control store do
                not answer, that is trouble and no error.
        """
        await self._resume()
        await self._try_to_look()
        while not self.trouble and (self.swapper.serving is None or self._loading.task is not None):
            await self._pause()
            await self._try_to_look()

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
        await self._loading.stop()
        await self.swapper.stop()

    async def named(self) -> int:
        """The version that the alias names now.

        Raises:
            UnknownName, RegistryDown: there is none, or the registry does not answer.
        """
        return (await asked(self._reference, self._runtime)).version

    async def command(
        self, version: int, to: Callable[[SwapDocument], SwapDocument], by: str, *, force: bool = False
    ) -> None:
        """Loads and checks a version, then writes the document by which all processes serve it, then serves it here: a
        command that fails has changed nothing anywhere. It ends the load of another version, that of a command too.

        Args:
            force: the version may break what clients rely on; it must answer its golden set all the same.

        Raises:
            MlpatternsError: it cannot serve, or registry or control store do not answer, or another command came.
        """
        if force or self._loading.version != version:
            self._loading.give_up()
        async with self._commanded:
            refusal, loading, serving = self.swapper.refusal, None, self.swapper.serving
            try:
                if serving is None or serving.version != version:
                    loading = self._loading.of(version, None if force else self._kept(version))
                    serving = await self._loaded(loading)
                contract = serving.contract
                await self.shared.change(lambda now: to(now).with_served(version, self._follows, contract), by)
            except BaseException:
                self._loading.give_up()
                if loading is not None:
                    self._loading.discard(loading)
                self.swapper.refusal = refusal  # nobody wants that version any more
                raise
            if loading is not None:
                self._flip(serving)
            self._say("")

    async def _loaded(self, loading: asyncio.Task[Generation]) -> Generation:
        """What a command has loaded; raises as `command`."""
        await asyncio.wait([loading])
        if self._loading.task is not loading or loading.cancelled():
            raise Conflict("another command came meanwhile")
        return self._loading.result()

    # ---- looking ----

    async def _resume(self) -> None:
        """Serves what served last, if that can be loaded."""
        try:
            last = self.shared.document.value.last(self._follows)
        except Unavailable:  # which the first look says
            return
        if last is None:
            return
        async with self._commanded:  # a command that comes meanwhile ends the load of another version
            try:
                resumed = await self._loaded(self._loading.of(last, None))
            except MlpatternsError as error:
                log.warning("%s: version %d, which served last, cannot be loaded: %s", self.swapper.name, last, error)
                self._loading.give_up()
                self.swapper.refusal = None  # it may be what should serve
                return
            self._flip(resumed)
        await self._noting.note(resumed)

    async def _try_to_look(self) -> None:
        """A look at the start; with a version that serves, what cannot serve is trouble, as it is later."""
        try:
            await self._look()
        except MlpatternsError as error:
            if self.swapper.serving is None:
                raise
            self._say(str(error))

    def _told(self, document: Document[SwapDocument]) -> None:
        """The document has changed; what another process serves is tried at once, though it was refused here."""
        self._changed.set()
        refusal = self.swapper.refusal
        if refusal is not None and document.value.accepts(refusal.version, self._follows):
            self.swapper.refusal = replace(refusal, again=0.0)

    async def _pause(self) -> None:
        loading = [] if self._loading.task is None else [self._loading.task]
        await self._changed.or_later(self._runtime.clock, self._check_every, *loading)

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
            if not self._loading.again:  # or nothing is well before that has succeeded
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
            self._loading.give_up()
            swapper.refusal = None
            return
        refusal, now = swapper.refusal, self._runtime.clock.monotonic()
        if self._loading.task is None and refusal is not None and not refusal.may_try(wanted, now):
            return
        loading = self._loading.of(wanted, self._kept(wanted))
        if loading.done():
            fresh = self._loading.result()
            self._flip(fresh)
            await self._noting.note(fresh)

    async def _wanted(self, document: SwapDocument) -> int | None:
        """The version that should serve, or None when the document changed before that was known."""
        if document.pin is not None:
            return document.pin
        asking = asyncio.ensure_future(self.named())
        try:
            await self._changed.or_done(asking)
            return asking.result() if asking.done() else None
        except RegistryDown:
            last = document.last(self._follows)
            if self.swapper.serving is not None or last is None:
                raise
            return last
        finally:
            asking.cancel()

    def _kept(self, version: int) -> Contract | None:
        serving = self.swapper.serving
        contract = None if serving is None else serving.contract
        return self.shared.document.value.kept_by(version, self._follows, contract)

    def _flip(self, fresh: Generation) -> None:
        self.swapper.flip(fresh)
        self._swapped(fresh)

    def _say(self, trouble: str, error: Exception | None = None) -> None:
        """Trouble goes to health and metrics while it lasts, and to the log when it begins and ends."""
        if trouble and trouble != self.trouble:
            log.warning("%s: %s", self.swapper.name, trouble if error is None else error)
        elif self.trouble and not trouble:
            log.info("%s: well again", self.swapper.name)
        self.trouble = trouble
        self.swapper.figures.trouble.set(bool(trouble))
