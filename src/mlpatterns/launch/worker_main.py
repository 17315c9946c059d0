"""`python -m mlpatterns.launch.worker_main`: what a supervisor starts. Its orders come in environment variables."""

from __future__ import annotations

import os
import socket
import sys
from contextlib import suppress
from pathlib import Path

from mlpatterns.errors import UserError
from mlpatterns.launch.listening import NoPorts, Ports
from mlpatterns.launch.peers import Peers
from mlpatterns.launch.started import FAILED, NOT_STARTED, READY, WITH_PROGRAMS
from mlpatterns.launch.target import load_target
from mlpatterns.launch.worker import run_worker
from mlpatterns.server.app import App
from mlpatterns.settings import load_settings


def main() -> int:
    """Serves until told to stop; NOT_STARTED if it cannot start, and why goes to the supervisor."""
    listening = socket.socket(fileno=int(os.environ["MLPATTERNS_WORKER_SOCKET"]))
    line = Line(int(os.environ["MLPATTERNS_WORKER_READY"]))
    title, alone = os.environ["MLPATTERNS_WORKER_TITLE"], "MLPATTERNS_WORKER_PROGRAMS" in os.environ
    try:
        app = load_target(os.environ["MLPATTERNS_WORKER_TARGET"])
        if alone and isinstance(app, App):
            app.works_only = True
            listening.close()
        settings = load_settings().settings
        run_worker(
            app,
            settings,
            title=f"the program process of {title}" if alone else f"a worker of {title}",
            ports=NoPorts() if alone else Ports(settings, listening),
            supervisor=int(os.environ["MLPATTERNS_WORKER_SUPERVISOR"]),
            peers=Peers(None if alone else Path(os.environ["MLPATTERNS_WORKER_PEERS"])),
            tell=lambda: line.ready(programs=isinstance(app, App) and app.has_programs),
        )
    except UserError as error:
        line.failed(str(error))
        return NOT_STARTED
    return 0


class Line:
    """The pipe to the supervisor: one byte when this process is ready, or why it never will be."""

    def __init__(self, pipe: int) -> None:
        self._pipe: int | None = pipe

    def ready(self, *, programs: bool) -> None:
        self._say(WITH_PROGRAMS if programs else READY)

    def failed(self, why: str) -> None:
        if self._pipe is None:  # it was ready before
            print(f"mlpatterns: {why}", file=sys.stderr)  # noqa: T201 - the worker's one word to the terminal
        else:
            self._say(FAILED + why.encode())

    def _say(self, words: bytes) -> None:
        assert self._pipe is not None
        with suppress(BrokenPipeError):  # the supervisor was killed, which `run_worker` finds out by itself
            os.write(self._pipe, words)
        os.close(self._pipe)
        self._pipe = None


if __name__ == "__main__":
    sys.exit(main())
