"""The document that all processes of a HotSwap share: which versions have served, and which one is pinned."""

from __future__ import annotations

import logging

from msgspec import Struct
from msgspec.structs import replace

from mlpatterns.errors import PredictionError
from mlpatterns.interfaces import Shared
from mlpatterns.models.swap.checks import Contract
from mlpatterns.models.swap.swapper import LoadedVersion
from mlpatterns.predictor import Runtime

__all__ = ["ServedRecorder", "SwapDocument"]

log = logging.getLogger("mlpatterns")

PAUSE = 1.0  # seconds until the next attempt to write to a store that did not answer
KEPT = 20  # number of versions that rollbacks can go back


class SwapDocument(Struct, frozen=True):
    """The value of a shared document.

    Attributes:
        pin: the version that must serve regardless of the alias; None means that the alias decides.
        served: versions in the order in which they began to serve; the last one serves now.
        follows: the reference of the process that wrote the last version.
        contract: the contract of the last version. It is stored here because the files of that version may be gone.
    """

    pin: int | None = None
    served: tuple[int, ...] = ()
    follows: str = ""
    contract: Contract = Contract()

    def with_served(self, version: int, follows: str, contract: Contract) -> SwapDocument:
        """The document after `version` began to serve."""
        served = self.served if self.served[-1:] == (version,) else (*self.served, version)[-KEPT:]
        return replace(self, served=served, follows=follows, contract=contract)

    def with_alias_served(self, version: int, follows: str, contract: Contract) -> SwapDocument:
        """The document after the alias made `version` serve. It is unchanged while a version is pinned."""
        return self if self.pin is not None else self.with_served(version, follows, contract)

    def last(self, follows: str) -> int | None:
        """The version that served last for the reference `follows`, or None if there is none.

        If the document has another reference, the author of the app has changed the reference, so the versions that
        served before do not count. A document of an earlier mlpatterns has no reference, and counts for every one.
        """
        return self.served[-1] if self.served and self.follows in ("", follows) else None

    def accepts(self, version: int, follows: str) -> bool:
        """Whether `version` already serves in another process, which has checked it or got a command to serve it."""
        return self.served[-1:] == (version,) and (self.pin == version or self.last(follows) == version)

    def contract_for(self, version: int, follows: str, serving: Contract | None) -> Contract | None:
        """The contract that `version` must keep: `serving`, else the contract of the version that served last.

        It is None if no version has served yet, or if other processes already serve `version`.
        """
        if self.accepts(version, follows):
            return None
        return serving or (None if self.last(follows) is None else self.contract)

    def pinned(self, version: int | None) -> SwapDocument:
        """The document with another pin; None removes the pin."""
        return replace(self, pin=version)

    def before(self, version: int | None) -> int | None:
        """The version that served before the last one, or None.

        Args:
            version: the version that serves in this process. It may be older than the last version in the document, or
                newer if the control store has not recorded it yet.
        """
        last = self.served[-1] if version in self.served else version
        return next((each for each in reversed(self.served) if each != last), None)

    def rolled_back(self, version: int) -> SwapDocument:
        """The document with `version` pinned, and the versions that served after it removed."""
        if version not in self.served:
            return self.pinned(version)
        place = len(self.served) - 1 - self.served[::-1].index(version)
        return replace(self, pin=version, served=self.served[: place + 1])


class ServedRecorder:
    """Records in the document which version serves because of the alias. It retries until the control store answers.

    Args:
        follows: the reference of this process.
    """

    def __init__(self, name: str, follows: str, shared: Shared[SwapDocument], runtime: Runtime) -> None:
        self._name, self._follows, self._shared, self._runtime = name, follows, shared, runtime
        self._newest: LoadedVersion | None = None

    async def record(self, served: LoadedVersion) -> None:
        self._newest = served
        try:
            await self._write(served)
        except PredictionError as error:  # the version serves; only other processes do not know it yet
            log.warning(
                "%s: version %d serves, but the control store did not record it: %s", self._name, served.version, error
            )
            self._runtime.begin("record what serves", self._later, most=1)

    async def _later(self) -> None:
        noted = None
        while noted is not self._newest and self._newest is not None:
            await self._runtime.clock.sleep(PAUSE)
            noted = self._newest
            try:
                await self._write(noted)
            except PredictionError:  # health reports the outage
                noted = None

    async def _write(self, served: LoadedVersion) -> None:
        version, contract = served.version, served.contract
        await self._shared.change(lambda now: now.with_alias_served(version, self._follows, contract), by="alias")
