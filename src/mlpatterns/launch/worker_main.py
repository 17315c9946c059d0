"""`python -m mlpatterns.launch.worker_main`: what a supervisor starts. Its orders come in environment variables."""

from __future__ import annotations

import os
import socket
import sys

from mlpatterns.errors import UserError
from mlpatterns.launch.supervisor import NOT_STARTED
from mlpatterns.launch.target import load_target
from mlpatterns.launch.worker import run_worker
from mlpatterns.settings import load_settings


def main() -> int:
    """Serves until told to stop; NOT_STARTED if it cannot start."""
    listening = socket.socket(fileno=int(os.environ["MLPATTERNS_WORKER_SOCKET"]))
    ready = int(os.environ["MLPATTERNS_WORKER_READY"])

    def tell() -> None:
        os.write(ready, b".")
        os.close(ready)

    try:
        app = load_target(os.environ["MLPATTERNS_WORKER_TARGET"])
        run_worker(
            app,
            load_settings().settings,
            title=os.environ["MLPATTERNS_WORKER_TITLE"],
            socket=listening,
            supervisor=int(os.environ["MLPATTERNS_WORKER_SUPERVISOR"]),
            tell=tell,
        )
    except UserError as error:
        print(f"mlpatterns: {error}", file=sys.stderr)  # noqa: T201 - the worker's one word to the terminal
        return NOT_STARTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
