"""Checks periodically which version should serve, and makes it serve: the pinned version, else that of the alias."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from msgspec.structs import replace

from mlpatterns.errors import Conflict, MlpatternsError, Unavailable
from mlpatterns.interfaces import Document, Shared
from mlpatterns.models.files import current_version
from mlpatterns.models.swap.checks import Contract
from mlpatterns.models.swap.document import ServedRecorder, SwapDocument
from mlpatterns.models.swap.load import ChangeEvent, VersionLoad
from mlpatterns.models.swap.swapper import LoadedVersion, Swapper
from mlpatterns.models.swap.trouble import outage
from mlpatterns.references import RegisteredReference
from mlpatterns.user_errors import RegistryDown

__all__ = ["Follower"]

log = logging.getLogger("mlpatterns")


class Follower:
    """Makes a swapper serve the version that the registry and the shared document name.

    Args:
        shared: the document of all processes that serve this model.
        check_every: seconds between two checks.

    Attributes:
        trouble: the current problem, as text for clients; empty if there is none.
    """

    def __init__(
        self, reference: RegisteredReference, swapper: Swapper, shared: Shared[SwapDocument], *, check_every: float
    ) -> None:
        self._reference, self._follows = reference, str(reference)
        self.swapper, self.shared = swapper, shared
        self._check_every, self._runtime = check_every, swapper.runtime
        self._loading = VersionLoad(swapper)
        self._recorder = ServedRecorder(swapper.name, self._follows, shared, swapper.runtime)
        self._commanded = asyncio.Lock()  # held while a command runs; checks wait for it
        self._checking = False
        self._changed = ChangeEvent()
        shared.watch(self._document_changed)
        self.trouble = ""

    @property
    def busy(self) -> bool:
        """Whether a check, a load or a command is in progress or about to begin."""
        return self._checking or self._loading.task is not None or self._commanded.locked() or self._changed.is_set()

    async def begin(self) -> None:
        """Checks until the version that should serve is serving or refused.

        The version that served last, here or in another process, is loaded first. So the new version is compared with
        the contract of that version, and this process refuses the same versions as the running processes.

        Raises:
            MlpatternsError: neither the version that should serve nor the last one can serve. If only the registry or
                the control store does not answer, no error is raised and `trouble` has the reason.
        """
        await self._resume()
        await self._check_at_start()
        while not self.trouble and (self.swapper.serving is None or self._loading.task is not None):
            await self._pause()
            await self._check_at_start()

    async def follow(self) -> None:
        """Checks every `check_every` seconds, when a load ends and when the document changes, until cancelled."""
        while True:
            await self._pause()
            try:
                await self._check()
            except MlpatternsError as error:
                self._report(str(error))

    async def stop(self) -> None:
        """Cancels the current load, then stops all versions."""
        await self._loading.stop()
        await self.swapper.stop()

    async def aliased_version(self) -> int:
        """The version that the alias names now.

        Raises:
            UnknownName: there is no such model, alias or version.
            RegistryDown: the registry does not answer.
        """
        return (await current_version(self._reference, self._runtime)).version

    async def command(
        self, version: int, to: Callable[[SwapDocument], SwapDocument], by: str, *, force: bool = False
    ) -> None:
        """Loads and checks a version, writes the document that makes all processes serve it, then makes it serve here.

        A command that fails does not change which version serves, in any process. A command cancels the load of another
        version, also if an earlier command began that load.

        Args:
            to: changes the document; then `version` is added. `by` becomes the author in its history.
            force: whether to skip the check of the contract; the version must still answer its golden set.

        Raises:
            MlpatternsError: the version cannot serve, the registry or the control store does not answer, or another
                command replaced this one.
        """
        if force or self._loading.version != version:
            self._loading.cancel()
        async with self._commanded:
            refusal, loading, serving = self.swapper.refusal, None, self.swapper.serving
            try:
                if serving is None or serving.version != version:
                    loading = self._loading.begin(version, None if force else self._required_contract(version))
                    serving = await self._loaded(loading)
                contract = serving.contract
                await self.shared.change(lambda now: to(now).with_served(version, self._follows, contract), by)
            except BaseException:
                self._loading.cancel()
                if loading is not None:
                    self._loading.discard(loading)
                self.swapper.refusal = refusal  # as before the command, because only the command wanted that version
                raise
            if loading is not None:
                self.swapper.flip(serving)
            self._report("")

    async def _loaded(self, loading: asyncio.Task[LoadedVersion]) -> LoadedVersion:
        """Waits for a load and returns its version; raises the same errors as `command`."""
        await asyncio.wait([loading])
        if self._loading.task is not loading or loading.cancelled():
            raise Conflict("another command came in the meantime")
        return self._loading.result()

    # ---- checks ----

    async def _resume(self) -> None:
        """Makes the version that served last serve again, if it can be loaded."""
        try:
            last = self.shared.document.value.last(self._follows)
        except Unavailable:  # the first check reports it
            return
        if last is None:
            return
        async with self._commanded:  # a command that arrives meanwhile cancels the load of another version
            try:
                resumed = await self._loaded(self._loading.begin(last, None))
            except MlpatternsError as error:
                log.warning("%s: version %d, which served last, cannot be loaded: %s", self.swapper.name, last, error)
                self._loading.cancel()
                self.swapper.refusal = None  # this version may be the one that should serve, so a check may try it
                return
            self.swapper.flip(resumed)
        await self._recorder.record(resumed)

    async def _check_at_start(self) -> None:
        """One check at the start. If a version serves, an error is only reported as trouble, as in later checks."""
        try:
            await self._check()
        except MlpatternsError as error:
            if self.swapper.serving is None:
                raise
            self._report(str(error))

    def _document_changed(self, document: Document[SwapDocument]) -> None:
        """Called when the document has changed. A version that another process serves is tried again at once, even if
        this process has refused it."""
        self._changed.set()
        refusal = self.swapper.refusal
        if refusal is not None and document.value.accepts(refusal.version, self._follows):
            self.swapper.refusal = replace(refusal, retry_at=0.0)

    async def _pause(self) -> None:
        loading = [] if self._loading.task is None else [self._loading.task]
        await self._changed.or_later(self._runtime.clock, self._check_every, *loading)

    async def _check(self) -> None:
        """One check. If a store does not answer, `trouble` has the reason, and the current version continues to serve.

        Raises:
            MlpatternsError: the version that should serve cannot serve.
        """
        self._checking = True
        try:
            await self._update()
        except (RegistryDown, Unavailable) as error:
            self._report(outage(error, serving=self.swapper.serving is not None), error)
        else:
            if not self._loading.is_retry:  # a retry must succeed before the trouble ends
                self._report("" if self.swapper.refusal is None else self.swapper.refusal.sentence)
        finally:
            self._checking = False

    async def _update(self) -> None:
        """Starts the load of the version that should serve, unless it already serves or was refused a moment ago.

        A later check makes the version serve when the load is done.
        """
        async with self._commanded:
            self._changed.clear()
        document, swapper = self.shared.document, self.swapper
        wanted = await self._wanted(document.value)
        if wanted is None or self._commanded.locked() or document is not self.shared.document:
            return  # a command or another process has changed the document meanwhile
        if swapper.serving is not None and wanted == swapper.serving.version:
            self._loading.cancel()
            swapper.refusal = None
            return
        refusal, now = swapper.refusal, self._runtime.clock.monotonic()
        if self._loading.task is None and refusal is not None and not refusal.may_try(wanted, now):
            return
        loading = self._loading.begin(wanted, self._required_contract(wanted))
        if loading.done():
            fresh = self._loading.result()
            swapper.flip(fresh)
            await self._recorder.record(fresh)

    async def _wanted(self, document: SwapDocument) -> int | None:
        """The version that should serve, or None if the document changed before the registry answered."""
        if document.pin is not None:
            return document.pin
        asking = asyncio.ensure_future(self.aliased_version())
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

    def _required_contract(self, version: int) -> Contract | None:
        serving = self.swapper.serving
        contract = None if serving is None else serving.contract
        return self.shared.document.value.contract_for(version, self._follows, contract)

    def _report(self, trouble: str, error: Exception | None = None) -> None:
        """Reports trouble in health and metrics while it lasts, and logs its begin and end."""
        if trouble and trouble != self.trouble:
            log.warning("%s: %s", self.swapper.name, trouble if error is None else error)
        elif self.trouble and not trouble:
            log.info("%s: recovered", self.swapper.name)
        self.trouble = trouble
        self.swapper.metrics.trouble.set(bool(trouble))
