"""`mlpatterns fetch MODEL --into DIR`: copies a model to the folder of a server, and verifies it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlpatterns.cli.flags import flag
from mlpatterns.cli.output import note, say
from mlpatterns.settings import load_settings
from mlpatterns.user_errors import WrongUse

__all__ = ["command"]


def command(
    model: Annotated[str, typer.Argument(help="NAME, NAME@ALIAS, NAME:3, or s3://… or file:///… of an ONNX file.")],
    into: Annotated[Path, flag("The folder to write NAME.onnx to.", metavar="DIR")],
    sha256: Annotated[str | None, flag("The SHA-256 that the file must have; required for a URL.")] = None,
    default: Annotated[
        str | None, flag("Another model to take if this one is not available. (default: an error)")
    ] = None,
    wait: Annotated[float, typer.Option(min=0.0, help="Seconds to keep trying if a server does not answer.")] = 0.0,
) -> None:
    """Fetch a model, check it against its SHA-256, and put it where `mlpatterns run DIR/NAME.onnx` will load it.

    An init container runs this before the server starts.
    """
    from mlpatterns.registry.loader import load_model

    if into.exists() and not into.is_dir():
        raise WrongUse(f"{into} is a file; name a folder")
    settings = load_settings().settings
    loaded = load_model(model, into, settings=settings, sha256=sha256, default=default, wait=wait)
    if loaded.instead:
        note(f"{loaded.instead}; using the default model instead")
    say(f"{loaded.source} is {loaded.model}")
    say(f"  sha256     {loaded.sha256}")
    say(f"next: mlpatterns run {loaded.model}")
