"""What a Monitor has found, window by window, and where it goes on reading."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from mlpatterns.analysis.drift import Drift
from mlpatterns.analysis.hysteresis import AlertState
from mlpatterns.analysis.profile import DataProfile

__all__ = ["Cell", "Checkpoint", "MonitorStore", "OpenWindow", "Window"]

Cell = float | str | None


class Window(Struct, frozen=True, omit_defaults=True):
    """A window of the predictions of one version.

    Attributes:
        began, ended: when its first and its last prediction began, in seconds since 1970.
        records, rows: predictions, and rows in them.
        averages: of the columns of numbers.
        outliers: rows that were called outliers, of `judged` rows.
        right: labels that came during the window and were as predicted, of `labelled`.
        drift: the tests, where there is a profile and rules that test.
        found: what drifted: columns, ``outliers``, ``quality``.
        alerting: what is alerted of after this window; `raised` and `cleared` are what changed with it.
        details: a sentence about each that was found.
        remark: why the window was compared with nothing.
        number: of the window in its store; 0 before it is stored.
    """

    model: str
    version: str
    began: float
    ended: float
    records: int
    rows: int
    averages: dict[str, float] = {}
    outliers: int = 0
    judged: int = 0
    labelled: int = 0
    right: int = 0
    drift: Drift | None = None
    found: tuple[str, ...] = ()
    alerting: tuple[str, ...] = ()
    raised: tuple[str, ...] = ()
    cleared: tuple[str, ...] = ()
    details: tuple[str, ...] = ()
    remark: str = ""
    number: int = 0


class OpenWindow(Struct):
    """A window that is not complete yet. `columns` hold the cells of a sample of its rows."""

    model: str
    version: str
    began: float
    ended: float
    records: int = 0
    rows: int = 0
    columns: dict[str, list[Cell]] = {}
    outliers: int = 0
    judged: int = 0
    labelled: int = 0
    right: int = 0


class Checkpoint(Struct, frozen=True):
    """All that a monitor knows when it starts anew; maps go by model and version.

    Attributes:
        after, told_after: the places in the log up to which predictions and feedback were read.
        baselines: the profiles that were made of first windows.
    """

    after: int = 0
    told_after: int = 0
    open: tuple[OpenWindow, ...] = ()
    standings: dict[str, AlertState] = {}
    baselines: dict[str, DataProfile] = {}


class MonitorStore(Protocol):
    """Windows and checkpoints by the path of the monitor. Opening one fails on a malformed URL only.

    Raises:
        Unavailable: by every method: it does not answer now.
    """

    async def claim(self, path: str, holder: str) -> Checkpoint:
        """The checkpoint that was saved last, or an empty one. From now on `holder` alone may save: not by the fencing
        token of the lease, which a ControlStore that was begun anew counts from 1 again."""
        ...

    async def save(
        self, path: str, checkpoint: Checkpoint, windows: Sequence[Window], *, holder: str, tell: bool
    ) -> None:
        """Writes both or neither.

        Args:
            tell: whether windows in which an alert began or ended are to be told to somebody; see `untold`.

        Raises:
            Conflict: another has claimed it.
        """
        ...

    async def windows(self, path: str, *, version: str | None = None, limit: int = 20) -> tuple[Window, ...]:
        """The last windows, newest first."""
        ...

    async def untold(self, path: str, since: float, limit: int = 10) -> tuple[Window, ...]:
        """The windows that ended `since` and are still to be told, oldest first."""
        ...

    async def told(self, path: str, number: int) -> None:
        """The window was told."""
        ...

    async def close(self) -> None: ...
