"""An interrupt (Ctrl-C) that ends a command wherever the command is."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer, main_thread
from typing import Any

__all__ = ["lasting_interrupts"]

AGAIN = 0.01  # seconds: until Python has left the function whose exceptions it ignores


@contextmanager
def lasting_interrupts() -> Iterator[None]:
    """Raises KeyboardInterrupt once more where Python has ignored one.

    Python raises it in whatever runs at that moment. In a finalizer, or in a callback of the garbage collector such as
    SQLAlchemy's, it prints the exception and goes on, so that the user's Ctrl-C would do nothing.
    """
    before = sys.unraisablehook

    def hook(ignored: Any) -> None:
        if not issubclass(ignored.exc_type, KeyboardInterrupt):
            before(ignored)
            return
        again = Timer(AGAIN, signal.pthread_kill, (main_thread().ident, signal.SIGINT))  # it interrupts a system call
        again.daemon = True
        again.start()

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before
