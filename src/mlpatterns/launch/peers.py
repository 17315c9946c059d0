"""Shows which workers of one supervisor are ready. A worker that loads takes connections only if no other is ready."""

from __future__ import annotations

import mmap

__all__ = ["Peers"]


class Peers:
    """One byte of shared memory for each process: 1 while it is ready.

    A worker that loads takes connections only while no other is ready, because it can only answer 503.

    Args:
        file: the descriptor of `count` bytes of shared memory, or None for the only worker.
        process: the number of this process, from 0 to `count` - 1.
    """

    def __init__(self, file: int | None = None, count: int = 0, process: int = 0) -> None:
        self._ready = None if file is None else mmap.mmap(file, count)
        self._process = process

    def ready(self) -> bool:
        """Whether another process is ready."""
        if self._ready is None:
            return False
        return any(ready for process, ready in enumerate(bytes(self._ready)) if process != self._process)

    def join(self) -> None:
        """Reports that this process is ready."""
        if self._ready is not None:
            self._ready[self._process] = 1

    def leave(self) -> None:
        """Reports that this process is no longer ready."""
        self.remove(self._process)

    def remove(self, process: int) -> None:
        """Reports that another process has ended."""
        if self._ready is not None:
            self._ready[process] = 0
