"""`mlpatterns up`: serves every system on one port."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated

from msgspec.structs import replace

from mlpatterns.cli.flags import apply_flags, flag

__all__ = ["command"]


def command(
    host: Annotated[str | None, flag("The address to listen on. (default: 127.0.0.1)")] = None,
    port: Annotated[int | None, flag("The port; 0 takes a free one. (default: 8000)", "--port", "-p")] = None,
) -> None:
    """Train the missing models, then serve every system on one port, with an index page at /."""
    settings = replace(apply_flags({"host": host, "port": port}), grpc_port=None)  # the systems share one HTTP port

    from mlpatterns.catalog import systems
    from mlpatterns.cli.missing import train_missing
    from mlpatterns.gallery.app import Gallery
    from mlpatterns.launch.listening import Ports
    from mlpatterns.launch.target import app_of
    from mlpatterns.launch.worker import run_worker

    apps = {system.name: app_of(system) for system in systems() if "app" in system.defines}
    with closing(Ports(settings)) as ports:  # first, so that a port in use fails before the trainings
        train_missing(apps.values(), settings)
        run_worker(Gallery(apps, systems()), settings, title="mlpatterns", ports=ports)
