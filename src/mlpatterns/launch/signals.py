"""The signals that a supervisor reacts to."""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Collection
from types import FrameType

__all__ = ["Signals", "hold_hangup", "release_hangup"]

STOP = (signal.SIGTERM, signal.SIGINT)


def hold_hangup() -> None:
    """Blocks SIGHUP until `release_hangup`. For a supervisor, SIGHUP means that it must replace its workers; a command
    that is not a supervisor yet would be ended by it."""
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})


def release_hangup() -> None:
    """Unblocks SIGHUP, which also delivers a pending one."""
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})


class Signals:
    """Records the signals of this process while the `with` body runs, and ends `wait` at each. It unblocks SIGHUP, and
    records a pending one too.

    Attributes:
        stops: the number of SIGTERM and SIGINT signals received.
    """

    def __init__(self) -> None:
        self.stops = 0
        self._reload = False

    def __enter__(self) -> Signals:
        self._reader, writer = os.pipe()
        self._writer = writer
        os.set_blocking(self._reader, False)
        os.set_blocking(writer, False)
        self._wakeup = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        numbers = (*STOP, signal.SIGHUP, signal.SIGCHLD)
        self._before = {number: signal.signal(number, self._received) for number in numbers}
        release_hangup()
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup)
        os.close(self._reader)
        os.close(self._writer)

    def wait(self, seconds: float, files: Collection[int] = ()) -> None:
        """Returns when a signal comes, one of the files becomes readable, or `seconds` have passed."""
        if self._reader in select.select([self._reader, *files], [], [], seconds)[0]:
            os.read(self._reader, 4096)

    def take_reload(self) -> bool:
        """Whether SIGHUP came since the last call. One that comes afterwards counts for the next call."""
        asked, self._reload = self._reload, False
        return asked

    def _received(self, number: int, _: FrameType | None) -> None:
        if number in STOP:
            self.stops += 1
        elif number == signal.SIGHUP:
            self._reload = True
