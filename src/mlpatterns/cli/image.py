"""`mlpatterns image build TARGET`: an image that holds server, system and model."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlpatterns.cli.flags import apply_flags, flag
from mlpatterns.cli.output import note, say
from mlpatterns.errors import NotOffered, SettingsError, UserError
from mlpatterns.launch.export_lines import export_lines

if TYPE_CHECKING:
    from mlpatterns.release.context import ImageContext

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True)
OF_A_FILE = "web_single"  # what serves an ONNX file


@app.callback()
def group() -> None:
    """Images that hold server, system and model, so that all three have one version."""


@app.command()
def build(
    target: Annotated[str, typer.Argument(metavar="NAME|FILE.py|FILE.onnx", help="What the image is to serve.")],
    tag: Annotated[
        str | None, typer.Option("--tag", "-t", help="Its name.", show_default="NAME:VERSION of the model")
    ] = None,
    base: Annotated[
        str | None, typer.Option(help="The image to start from.", show_default="python:X.Y-slim, of this Python")
    ] = None,
    builder: Annotated[
        str | None,
        typer.Option(metavar="docker|podman|buildah", help="What builds it.", show_default="the first that works"),
    ] = None,
    model: Annotated[str | None, flag("Another model for a pattern: NAME, NAME@ALIAS, NAME:3 or file:PATH.")] = None,
    labels: Annotated[Path | None, flag("Its class names: one a line, or a JSON list.")] = None,
    context_only: Annotated[
        Path | None, flag("Write the build context there, and build nothing.", metavar="DIR")
    ] = None,
) -> None:
    """Build an image that serves a pattern, your Python file with its folder, or an ONNX file.

    Only what serving needs is in it, in the versions that are installed here. The same again is the same image.
    """
    served, name = _served(target, model)
    apply_flags({"model": f"file:{Path(target).absolute()}" if served != target else model, "labels": labels})

    from mlpatterns.release.context import image_context
    from mlpatterns.release.engines import find_engine

    if context_only is not None:
        _written(image_context(served, context_only, base=base, name=name))
        return
    engine = find_engine(builder)
    with tempfile.TemporaryDirectory(prefix="mlpatterns-image-") as folder:
        note(f"{target}: putting together what goes into the image")
        context = image_context(served, Path(folder) / "context", base=base, name=name)
        note(f"{engine.name} builds it from {context.base}: {len(context.requirements)} packages, {_models(context)}")
        built = engine.build(context.folder, tag or _tag(context))
    say(f"{built.tag}  {built.digest}  {built.bytes / 1e6:.0f} MB with its base, built in {built.seconds:.0f} s")


def _served(target: str, model: str | None) -> tuple[str, str | None]:
    """What is put together, and what the image is called if not like that."""
    if target.endswith(".onnx"):
        if model:
            raise SettingsError(f"--model and {target} are two models; give one of them")
        return OF_A_FILE, Path(target).stem
    if lines := export_lines(target):
        raise UserError(lines)
    if model:
        from mlpatterns.catalog import get

        if target.endswith(".py") or not get(target).takes_model:
            raise NotOffered(f"{target} takes no other model than its own; leave --model out")
    return target, None


def _written(context: ImageContext) -> None:
    say(f"{context.folder}: the build context of {context.name}, {len(context.requirements)} packages")
    for model in context.models:
        say(f"  {model.name:<24}version {model.version}, sha256 {model.sha256[:12]}")
    say(f"next: docker build --tag {_tag(context)} {os.path.relpath(context.folder)}")


def _models(context: ImageContext) -> str:
    return ", ".join(f"{model.name}:{model.version}" for model in context.models) or "no model of its own"


def _tag(context: ImageContext) -> str:
    """A tag as engines take them: small letters, and of the one model the version."""
    name = re.sub(r"[^a-z0-9]+", "-", context.name.lower()).strip("-") or "service"
    version = context.models[0].version if len(context.models) == 1 else "latest"
    return f"{name}:{re.sub(r'[^A-Za-z0-9_.-]', '-', version)}"
