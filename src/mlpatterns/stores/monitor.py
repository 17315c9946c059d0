"""The MonitorStore: the windows that a Monitor has completed, and the position in the log at which it continues."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from mlpatterns.analysis.drift import Drift
from mlpatterns.analysis.hysteresis import AlertState
from mlpatterns.analysis.profile import DataProfile

__all__ = ["Cell", "MonitorCheckpoint", "MonitorStore", "OpenWindow", "Window"]

Cell = float | str | None


class Window(Struct, frozen=True, omit_defaults=True):
    """A window of predictions of one version.

    Attributes:
        began, ended: when its first and its last prediction began, in seconds since 1970.
        records, rows: predictions, and rows in them.
        averages: the mean of each numeric column.
        outliers: rows that were classified as outliers, out of `judged` rows.
        right: labels that arrived during the window and equal the prediction, out of `labelled`.
        drift: the results of the drift tests, if there are a profile and rules that test.
        found: the columns that drifted or exceeded a limit, and ``outliers`` or ``quality`` if they did.
        alerting: the alerts that are active after this window; this window added `raised` and ended `cleared`.
        details: a sentence about each finding.
        remark: why there was no profile, if the rules need one; otherwise empty.
        number: the number of the window in its store; 0 before it is stored.
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


class MonitorCheckpoint(Struct, frozen=True):
    """The state from which a monitor continues after a restart. The maps have a key for each model and version.

    Attributes:
        after, told_after: the positions in the log up to which predictions and feedback were read.
        baselines: the profiles that were made from first windows.
    """

    after: int = 0
    told_after: int = 0
    open: tuple[OpenWindow, ...] = ()
    standings: dict[str, AlertState] = {}
    baselines: dict[str, DataProfile] = {}


class MonitorStore(Protocol):
    """Windows and checkpoints by the path of the monitor. Opening a store fails only if the URL is malformed.

    Raises:
        Unavailable: raised by every method if the store does not answer.
    """

    async def claim(self, path: str, holder: str) -> MonitorCheckpoint:
        """Returns the last saved checkpoint, or an empty one. From now on only `holder` may save. The fencing token of
        the lease is not used for this, because a new, empty ControlStore counts it from 1 again."""
        ...

    async def save(
        self, path: str, checkpoint: MonitorCheckpoint, windows: Sequence[Window], *, holder: str, notify: bool
    ) -> None:
        """Writes the checkpoint and the windows in one transaction.

        Args:
            notify: whether a notification must be sent for windows in which an alert began or ended; see `unnotified`.

        Raises:
            Conflict: another holder has claimed the monitor.
        """
        ...

    async def windows(self, path: str, *, version: str | None = None, limit: int = 20) -> tuple[Window, ...]:
        """The last windows, newest first."""
        ...

    async def unnotified(self, path: str, since: float, limit: int = 10) -> tuple[Window, ...]:
        """The windows that ended at or after `since` and whose notification was not sent yet, oldest first."""
        ...

    async def mark_notified(self, path: str, number: int) -> None:
        """Records that the notification of this window was sent."""
        ...

    async def close(self) -> None: ...
