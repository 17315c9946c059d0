"""Work in a thread that nobody has to wait for: a process can end while it hangs."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

__all__ = ["started"]

T = TypeVar("T")


def started(work: Callable[[], T], name: str) -> Future[T]:
    """Begins `work` in a daemon thread of its own; the future cannot be cancelled."""
    result: Future[T] = Future()
    result.set_running_or_notify_cancel()

    def run() -> None:
        try:
            result.set_result(work())
        except BaseException as error:
            result.set_exception(error)

    Thread(target=run, name=name, daemon=True).start()
    return result
