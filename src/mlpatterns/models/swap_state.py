"""What all processes that serve one alias share: which version is pinned, and which served before."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

__all__ = ["SwapDocument"]

KEPT = 20  # versions of the way back


class SwapDocument(Struct, frozen=True):
    """The value of a shared document.

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
        """The version that served before the last one, or None. A process in which `version` serves may be behind the
        others; or ahead, if that could not be noted."""
        last = self.served[-1] if version in self.served else version
        return next((each for each in reversed(self.served) if each != last), None)

    def rolled_back(self, version: int) -> SwapDocument:
        """The same with `version` pinned, and the way back beginning there."""
        if version not in self.served:
            return SwapDocument(version, self.served)
        place = len(self.served) - 1 - self.served[::-1].index(version)
        return SwapDocument(version, self.served[: place + 1])
