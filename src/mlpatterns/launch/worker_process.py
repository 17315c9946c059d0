"""A process that the supervisor starts, and the messages between the two."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress

import msgspec
from msgspec import Struct

__all__ = ["FAILED", "MOST_WHY", "NOT_STARTED", "READY", "WITH_PROGRAMS", "WorkerArguments", "WorkerProcess"]

NOT_STARTED = 3  # the exit status of a process that could not start and has reported why
# The first byte to the supervisor: the process is ready; it is ready and has programs; it failed, and a reason follows.
READY, WITH_PROGRAMS, FAILED = b".", b"+", b"!"
MOST_WHY = 4096  # bytes of a reason; the buffer of a pipe is larger on every system


class WorkerArguments(Struct, frozen=True):
    """The arguments of a worker process, which its command line contains as JSON.

    Attributes:
        target: what it loads; see launch/target.py.
        title: what is served, for its log lines.
        programs: whether it runs the programs and serves no requests.
        supervisor: the process id of the supervisor.
        socket: the descriptor of the listening socket.
        number: its index in the shared memory, less than `processes`.
        processes: the most processes that the supervisor has at a time.
        metrics: the descriptor of the metrics that all processes share, or None if they share none.
        peers: the descriptor of the memory of `Peers`, or None.
        pipe: the descriptor of the pipe to the supervisor.
    """

    target: str
    title: str
    programs: bool
    supervisor: int
    socket: int
    number: int
    processes: int
    metrics: int | None
    peers: int | None
    pipe: int = -1

    @property
    def files(self) -> list[int]:
        """The descriptors that the process inherits."""
        return [file for file in (self.socket, self.metrics, self.peers, self.pipe) if file is not None]


class WorkerProcess:
    """One process. It closes its end of a pipe after it has reported that it is ready or why it cannot start."""

    def __init__(self, arguments: WorkerArguments, environment: Mapping[str, str]) -> None:
        self.number = arguments.number
        self._pipe, pipe = os.pipe()
        self._said: bytes | None = None
        self._why = ""
        self._ready_since: float | None = None
        arguments = msgspec.structs.replace(arguments, pipe=pipe)
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-m", "mlpatterns.launch.worker_main", msgspec.json.encode(arguments).decode()],
                env=environment,
                pass_fds=arguments.files,
                # A new session, so that Ctrl-C reaches only the supervisor, which stops the processes in order.
                start_new_session=True,
            )
        except BaseException:
            os.close(self._pipe)
            raise
        finally:
            os.close(pipe)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def pipe(self) -> int | None:
        """The end of the pipe that becomes readable when the process reports or ends; None after that was read."""
        return self._pipe if self._said is None else None

    @property
    def ready(self) -> bool:
        return self._read() in {READY, WITH_PROGRAMS}

    @property
    def has_programs(self) -> bool:
        """Whether it is ready and its target has programs."""
        return self._read() == WITH_PROGRAMS

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    @property
    def could_not_start(self) -> bool:
        """Whether it ended before it was ready, and has reported why."""
        return self.ended and self._process.returncode == NOT_STARTED and self._read() == FAILED

    @property
    def why(self) -> str:
        """Why it could not start; empty if it has reported no reason."""
        self._read()
        return self._why

    @property
    def ending(self) -> str:
        """How it ended, for the log."""
        status = self._process.wait()
        killed_by = next((each.name for each in signal.Signals if each == -status), f"signal {-status}")
        how = f"ended with status {status}" if status >= 0 else f"was killed by {killed_by}"
        return f"{how}: {self.why}" if self.why else how

    def ready_for(self) -> float:
        """The seconds since it was first seen to be ready; 0 if it never was."""
        return 0.0 if self._ready_since is None else time.monotonic() - self._ready_since

    def terminate(self) -> None:
        """Sends SIGTERM: the process answers what is in flight; at a second SIGTERM it ends without waiting."""
        if not self.ended:
            self._process.terminate()

    def close(self) -> None:
        """Waits until the process has ended, and closes the pipe."""
        self._process.wait()
        os.close(self._pipe)

    def _read(self) -> bytes:
        if self._said is None and select.select([self._pipe], [], [], 0)[0]:
            self._said = os.read(self._pipe, 1)
            if self._said == FAILED:
                self._why = self._rest()
            elif self._said:
                self._ready_since = time.monotonic()
        return self._said or b""

    def _rest(self) -> str:
        # The process writes all bytes at once, and they fit in the buffer: all have arrived when the first has.
        with suppress(OSError):
            return os.read(self._pipe, MOST_WHY).decode(errors="replace")
        return ""
