"""An interrupt (Ctrl-C) that ends a command wherever the command is."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread, main_thread
from time import sleep
from types import CodeType, FrameType
from typing import Any

__all__ = ["lasting_interrupts"]

AGAIN = 0.01  # seconds: until Python has left the function whose exceptions it ignores


@contextmanager
def lasting_interrupts() -> Iterator[None]:
    """Raises KeyboardInterrupt once more where Python has ignored one.

    Python raises KeyboardInterrupt in the code that runs at that moment. In a finalizer, or in a callback of the
    garbage collector such as SQLAlchemy's, Python prints the exception and continues, so that Ctrl-C has no effect.
    """
    before = sys.unraisablehook

    def hook(ignored: Any) -> None:
        if issubclass(ignored.exc_type, KeyboardInterrupt):
            Thread(target=_interrupt_after, args=(hook.__code__,), daemon=True).start()
        else:
            before(ignored)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before


def _interrupt_after(code: CodeType) -> None:
    """Interrupts the main thread, and any system call of it, once it has left `code`, where Python would ignore it."""
    thread = main_thread().ident
    assert thread is not None
    sleep(AGAIN)
    while _runs(code, sys._current_frames().get(thread)):
        sleep(AGAIN)
    signal.pthread_kill(thread, signal.SIGINT)


def _runs(code: CodeType, frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code is code:
            return True
        frame = frame.f_back
    return False
