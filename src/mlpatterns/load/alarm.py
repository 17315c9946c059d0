"""A timer for an event loop, precise to tens of microseconds; the loop's own timers are precise to milliseconds."""

from __future__ import annotations

import asyncio
import ctypes
import os
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from time import monotonic

__all__ = ["Alarm"]

ABSOLUTE = 1  # TFD_TIMER_ABSTIME
LEAST = 1e-6  # seconds; a time of 0 would disarm the timer


class Alarm:
    """Calls `ring` at the time that was set last.

    On Linux it uses timerfd(2), for which Python has functions from 3.13 on; elsewhere it uses the loop's own timer.
    With the loop's timer, a load of 1,000 requests per second would be half a millisecond late on average, and this
    delay would be most of the latency of a fast server.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        self._loop, self._ring = loop, ring
        self._handle: asyncio.TimerHandle | None = None
        self._file = _timer_file()
        if self._file is not None:
            loop.add_reader(self._file, self._read)

    def set(self, when: float) -> None:
        """Sets the time of the alarm, by time.monotonic. It replaces the time set before."""
        if self._file is not None:
            _arm(self._file, max(when, LEAST))
            return
        if self._handle is not None:
            self._handle.cancel()
        self._handle = self._loop.call_later(max(0.0, when - monotonic()), self._ring)

    def close(self) -> None:
        """Stops the alarm."""
        if self._handle is not None:
            self._handle.cancel()
        if self._file is not None:
            self._loop.remove_reader(self._file)
            os.close(self._file)
            self._file = None

    def _read(self) -> None:
        if self._file is not None:
            with suppress(BlockingIOError):  # `set` was called after the loop saw the timer expire
                os.read(self._file, 8)
                self._ring()


def _timer_file() -> int | None:
    """A non-blocking timerfd of CLOCK_MONOTONIC; None if the system has none."""
    if sys.platform != "linux":
        return None
    number: int = _libc().timerfd_create(1, os.O_NONBLOCK | os.O_CLOEXEC)
    return number if number >= 0 else None


def _arm(file: int, when: float) -> None:
    seconds = int(when)
    # struct itimerspec: the interval, which is 0, then the time
    _libc().timerfd_settime(file, ABSOLUTE, struct.pack("@llll", 0, 0, seconds, int((when - seconds) * 1e9)), None)


_loaded: list[ctypes.CDLL] = []


def _libc() -> ctypes.CDLL:
    """The C library that this process has already loaded."""
    if not _loaded:
        _loaded.append(ctypes.CDLL(None, use_errno=True))
    return _loaded[0]
