"""`python -m mlpatterns.launch.worker_main ARGUMENTS`: one process of a supervisor; see `WorkerArguments`."""

from __future__ import annotations

import logging
import os
import socket
import sys
from contextlib import suppress

import msgspec

from mlpatterns.launch.listening import NoPorts, Ports
from mlpatterns.launch.peers import Peers
from mlpatterns.launch.target import load_target
from mlpatterns.launch.worker import run_worker
from mlpatterns.launch.worker_process import FAILED, MOST_WHY, NOT_STARTED, READY, WITH_PROGRAMS, WorkerArguments
from mlpatterns.metrics import SharedMetrics, share_metrics
from mlpatterns.server.app import App
from mlpatterns.settings import load_settings
from mlpatterns.user_errors import UserError

log = logging.getLogger("mlpatterns")


def main() -> int:
    """Serves until it is told to stop and returns 0. If it cannot start, it reports why and returns NOT_STARTED."""
    arguments = msgspec.json.decode(sys.argv[1], type=WorkerArguments)
    for file in arguments.files:
        os.set_inheritable(file, False)
    listening = socket.socket(fileno=arguments.socket)
    pipe = SupervisorPipe(arguments.pipe)
    _share_metrics(arguments)
    alone = arguments.programs
    try:
        app = load_target(arguments.target)
        if alone and isinstance(app, App):
            app.programs_only = True
            listening.close()
        settings = load_settings().settings
        run_worker(
            app,
            settings,
            title=f"the program process of {arguments.title}" if alone else f"a worker of {arguments.title}",
            ports=NoPorts() if alone else Ports(settings, listening),
            supervisor=arguments.supervisor,
            peers=Peers() if alone else Peers(arguments.peers, arguments.processes + 1, arguments.number),
            on_ready=lambda: pipe.ready(programs=isinstance(app, App) and app.has_programs),
        )
    except UserError as error:
        pipe.failed(str(error))
        return NOT_STARTED
    return 0


def _share_metrics(arguments: WorkerArguments) -> None:
    shared = None
    if arguments.metrics is not None:
        try:
            shared = SharedMetrics(arguments.metrics, arguments.processes)
        except OSError as error:
            log.warning("this worker cannot share its metrics, so /metrics leaves them out: %s", error)
    share_metrics(shared, arguments.number)


class SupervisorPipe:
    """The pipe to the supervisor. It carries one byte when this process is ready, or the reason why it cannot start."""

    def __init__(self, file: int) -> None:
        self._file: int | None = file

    def ready(self, *, programs: bool) -> None:
        self._send(WITH_PROGRAMS if programs else READY)

    def failed(self, why: str) -> None:
        if self._file is None:  # closed, because the process has been ready
            print(f"mlpatterns: {why}", file=sys.stderr)  # noqa: T201 - the supervisor no longer reads the pipe
        else:
            self._send(FAILED + why.encode()[:MOST_WHY])

    def _send(self, message: bytes) -> None:
        assert self._file is not None
        with suppress(BrokenPipeError):  # the supervisor was killed, which `run_worker` detects itself
            os.write(self._file, message)
        os.close(self._file)
        self._file = None


if __name__ == "__main__":
    sys.exit(main())
