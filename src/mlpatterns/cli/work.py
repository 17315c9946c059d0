"""`mlpatterns work TARGET`: runs the programs of a system without serving predictions."""

from __future__ import annotations

from typing import Annotated

import typer
from msgspec.structs import replace

from mlpatterns.cli.flags import apply_flags, flag
from mlpatterns.settings import load_settings
from mlpatterns.user_errors import WrongUse

__all__ = ["command"]


def command(
    target: Annotated[str, typer.Argument(metavar="NAME|FILE.py[:app]", help="The system whose programs to run.")],
    service: Annotated[str | None, flag("Only the programs of this Service of the target.")] = None,
    host: Annotated[str | None, flag("The address to listen on. (default: 127.0.0.1)")] = None,
    port: Annotated[
        int | None,
        flag("Serve /metrics and /health on this port; 0 takes a free one. (default: none)", "--port", "-p"),
    ] = None,
) -> None:
    """Run a system's programs (job workers, monitors, batch runs) without serving predictions, until SIGTERM.

    Run the servers of the same system with --programs off. This command ignores the setting `port`, which is for
    those servers.
    """
    # Only the flag gives the port: a `run` with the same settings on this machine listens on the port of the settings.
    own = load_settings({"port": port}).settings.port if port else 0
    settings = replace(apply_flags({"service": service, "host": host}), port=own, grpc_port=None)

    from mlpatterns.launch.listening import NoPorts, Ports
    from mlpatterns.launch.target import load_target
    from mlpatterns.launch.worker import run_worker
    from mlpatterns.server.app import App

    app = load_target(target)
    if not isinstance(app, App):
        raise WrongUse(f"{target} has no programs; `mlpatterns run {target}` serves it")
    app.programs_only = True
    ports = NoPorts() if port is None else Ports(settings)
    try:
        run_worker(app, settings, title=f"the program process of {target}", ports=ports)
    finally:
        app.programs_only = False  # a test runs many commands in one process
