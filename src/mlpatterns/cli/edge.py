"""`mlpatterns edge build` and `edge serve`: a site that predicts in the browser."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer
from msgspec.structs import replace

from mlpatterns.cli.flags import apply_flags, flag
from mlpatterns.cli.output import say
from mlpatterns.settings import load_settings
from mlpatterns.user_errors import UserError, WrongUse

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True)


@app.callback()
def group() -> None:
    """A static site that predicts in the browser: no picture leaves the device."""


@app.command()
def build(
    out: Annotated[
        Path | None, flag("The folder of the site. (default: edge/site in the home folder)", metavar="DIR")
    ] = None,
    fast: Annotated[str, flag("The model to quantize to 8 bits.")] = "digits_fast",
    accurate: Annotated[str, flag("The model that stays as it is.")] = "digits_accurate",
) -> None:
    """Build the site: pages, models, and ONNX Runtime Web, which npm downloads.

    Any static web host can serve the folder; the camera needs https or localhost.
    """
    from mlpatterns.edge.site import EdgeModel, build_site

    settings = load_settings().settings
    folder = out or settings.home / "edge" / "site"
    site = build_site([EdgeModel.fast(fast), EdgeModel.accurate(accurate)], folder, settings)
    size = sum((folder / name).stat().st_size for name in site.files)
    for model in site.models:
        kind = "int8" if model.int8 else "float32"
        say(f"  {model.key:9} {model.name}:{model.version}, {kind}, {(folder / model.file).stat().st_size:,} bytes")
    say(f"{folder}: {len(site.files) + 2} files, {size / 1e6:.1f} MB, version {site.version}")
    say(f"next: mlpatterns edge serve {folder}" if out else "next: mlpatterns edge serve")


@app.command()
def serve(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="[DIR]", help="The folder of the site; by default edge/site in the home folder."),
    ] = None,
    host: Annotated[str | None, flag("The address to listen on. (default: 127.0.0.1)")] = None,
    port: Annotated[int | None, flag("The port; 0 takes a free one. (default: 8000)", "--port", "-p")] = None,
) -> None:
    """Serve a site that `edge build` made. It sends files and accepts no data."""
    settings = replace(apply_flags({"host": host, "port": port}), grpc_port=None)

    from mlpatterns.edge.serve import site_app
    from mlpatterns.launch.listening import Ports
    from mlpatterns.launch.worker import run_worker
    from mlpatterns.server.servable import PlainApp

    try:
        site = site_app(folder or settings.home / "edge" / "site")
    except UserError as error:
        if folder is None:
            raise
        raise WrongUse(str(error)) from error
    with closing(Ports(settings)) as ports:
        run_worker(PlainApp(site), settings, title="the site", ports=ports)
