"""What all processes that serve one alias share: which version is pinned, and which served before.

A document of the ControlStore. Who changes it says what he has seen, so two who do it at once cannot both be right.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from mlpatterns.errors import Conflict
from mlpatterns.interfaces import ControlStore
from mlpatterns.references import RegisteredReference

__all__ = ["SharedState", "SwapDocument"]

KEPT = 20  # versions of the way back
ATTEMPTS = 50  # at a change, while others change it too


class SwapDocument(Struct, frozen=True):
    """What is shared.

    Attributes:
        pin: the version that serves whatever the alias names, or None to follow the alias.
        served: versions in the order in which they came to serve; the last one serves now.
    """

    pin: int | None = None
    served: tuple[int, ...] = ()

    def with_served(self, version: int) -> SwapDocument:
        """The same after `version` came to serve."""
        if self.served[-1:] == (version,):
            return self
        return replace(self, served=(*self.served, version)[-KEPT:])

    def before(self, version: int | None) -> int | None:
        """The version that served before `version` did, or None."""
        return next((each for each in reversed(self.served) if each != version), None)

    def rolled_back(self, version: int) -> SwapDocument:
        """The same with `version` pinned, and the way back beginning there."""
        place = len(self.served) - 1 - self.served[::-1].index(version)
        return SwapDocument(version, self.served[: place + 1])


class SharedState:
    """The document of one reference."""

    def __init__(self, control: ControlStore, reference: RegisteredReference) -> None:
        self._control, self._key = control, f"hot_swap/{reference}"

    async def read(self) -> SwapDocument:
        """As it is now.

        Raises:
            Unavailable: the store does not answer.
        """
        return (await self._read())[0]

    async def change(self, to: Callable[[SwapDocument], SwapDocument], *, by: str) -> SwapDocument:
        """Writes what `to` makes of the document as it is then; returns it.

        Raises:
            Unavailable: the store does not answer.
            Conflict: others changed it all the time.
        """
        for attempt in range(ATTEMPTS):
            document, revision = await self._read()
            wanted = to(document)
            if wanted == document:
                return document
            try:
                await self._control.put(self._key, msgspec.to_builtins(wanted), expected=revision, by=by)
            except Conflict:
                if attempt == ATTEMPTS - 1:
                    raise
            else:
                return wanted
        raise AssertionError("the last attempt returns or raises")

    async def _read(self) -> tuple[SwapDocument, int | None]:
        stored = (await self._control.get_many([self._key])).get(self._key)
        if stored is None:
            return SwapDocument(), None
        return msgspec.convert(stored.value, SwapDocument), stored.revision
