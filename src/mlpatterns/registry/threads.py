"""Daemon threads, which do not keep a process from ending if they hang."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

__all__ = ["DaemonThread", "start_thread"]

T = TypeVar("T")


class DaemonThread(Thread):
    """Runs submitted functions in order, until `end` is called."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._work: SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = SimpleQueue()
        self.start()

    def submit(self, work: Callable[[], T]) -> Future[T]:
        result: Future[T] = Future()
        self._work.put((work, result))
        return result

    def end(self) -> None:
        """Ends the thread after all functions that were submitted before have run."""
        self._work.put(None)

    def run(self) -> None:
        while given := self._work.get():
            work, result = given
            if result.set_running_or_notify_cancel():
                try:
                    result.set_result(work())
                except BaseException as error:
                    result.set_exception(error)
            del given, work, result  # so that the idle thread keeps no result alive, and no error with its frames


def start_thread(work: Callable[[], T], name: str) -> Future[T]:
    """Starts `work` in a new thread; returns the future of its result."""
    thread = DaemonThread(name)
    result = thread.submit(work)
    thread.end()
    return result
