"""A process that the supervisor has started, and what the two say to each other."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Mapping, Sequence

from mlpatterns.launch.peers import Peers

__all__ = ["FAILED", "NOT_STARTED", "READY", "WITH_PROGRAMS", "Worker", "end"]

NOT_STARTED = 3  # a process's exit status when it could not start and has said why
# Its first byte to the supervisor: it is ready, it is and what it serves has programs, or it failed; then comes why.
READY, WITH_PROGRAMS, FAILED = b".", b"+", b"!"


class Worker:
    """One process; it closes its end of a pipe when it is ready, or has said why it cannot be, or has ended."""

    def __init__(self, environment: Mapping[str, str], socket: int, peers: Peers) -> None:
        self._peers = peers
        self._ready, ready = os.pipe()
        self._said: bytes | None = None
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mlpatterns.launch.worker_main"],
                env={**environment, "MLPATTERNS_WORKER_READY": str(ready)},
                pass_fds=[socket, ready],
                # A session of its own: Ctrl-C on the terminal reaches the supervisor alone, which stops them in order.
                start_new_session=True,
            )
        finally:
            os.close(ready)

    def said(self, seconds: float = 0) -> bytes | None:
        """Its first byte, nothing if it ended without one; None if it has said nothing within `seconds`."""
        if self._said is None and select.select([self._ready], [], [], seconds)[0]:
            self._said = os.read(self._ready, 1)
        return self._said

    def why(self) -> str:
        """Why it could not start, if it has said so."""
        text = b""
        while self.said() == FAILED and select.select([self._ready], [], [], 0)[0]:
            more = os.read(self._ready, 4096)
            if not more:
                break
            text += more
        return text.decode(errors="replace")

    @property
    def ended(self) -> bool:
        return self.process.poll() is not None

    def terminate(self) -> None:
        if not self.ended:
            self.process.terminate()

    def bury(self) -> None:
        """Waits for its end."""
        self.process.wait()
        os.close(self._ready)
        self._peers.remove(self.process.pid)


def end(workers: Sequence[Worker]) -> None:
    """Stops all at once, and waits for all."""
    for worker in workers:
        worker.terminate()
    for worker in workers:
        worker.bury()
