"""`mlpatterns image build TARGET`: an image that holds server, system and model."""

from __future__ import annotations

import os
import re
import shlex
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlpatterns.cli.flags import apply_flags, flag
from mlpatterns.cli.model_flags import Columns, Labels, Missing, SampleFile, Threshold, from_anywhere, refuse_for_app
from mlpatterns.cli.output import note, say
from mlpatterns.launch.export_lines import export_lines
from mlpatterns.user_errors import NotOffered, SettingsError, WrongUse

if TYPE_CHECKING:
    from mlpatterns.release.context import ImageContext

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True)
OF_A_MODEL = "web_single"  # the pattern that serves a single model


@app.callback()
def group() -> None:
    """Images that hold server, system and model, so that all three have one version."""


@app.command()
def build(
    target: Annotated[
        str,
        typer.Argument(metavar="NAME|FILE.py|FILE.onnx", help="What the image serves."),
    ],
    tag: Annotated[
        str | None, typer.Option("--tag", "-t", help="The name of the image.", show_default="NAME:VERSION of the model")
    ] = None,
    base: Annotated[
        str | None, typer.Option(help="The image to start from.", show_default="python:X.Y-slim, of this Python")
    ] = None,
    builder: Annotated[
        str | None,
        typer.Option(
            metavar="docker|podman|buildah",
            help="The engine that builds the image.",
            show_default="the first that works",
        ),
    ] = None,
    model: Annotated[str | None, flag("Another model for a pattern: NAME, NAME@ALIAS, NAME:3 or FILE.onnx.")] = None,
    labels: Labels = None,
    columns: Columns = None,
    missing: Missing = None,
    threshold: Threshold = None,
    sample: SampleFile = None,
    context_only: Annotated[
        Path | None, flag("Write the build context to this folder, and build nothing.", metavar="DIR")
    ] = None,
) -> None:
    """Build an image that serves a pattern, your Python file with its folder, a registered model or an ONNX file.

    The image contains only what serving needs, in the versions installed here. The same inputs give the same image.
    """
    from mlpatterns.release.engines import check_tag, find_engine

    if tag is not None:
        check_tag(tag)
    served, model, name = _resolved(target, model)
    said = {"labels": labels, "columns": columns, "missing": missing, "threshold": threshold, "sample": sample}
    if target.endswith(".py"):
        refuse_for_app(target, said)
    apply_flags(from_anywhere({"model": model, **said}))

    from mlpatterns.release.context import image_context

    if context_only is not None:
        _print_context(image_context(served, context_only, base=base, name=name), tag)
        return
    engine = find_engine(builder)
    with tempfile.TemporaryDirectory(prefix="mlpatterns-image-") as folder:
        note(f"{target}: collecting the contents of the image")
        context = image_context(served, Path(folder) / "context", base=base, name=name)
        contents = f"{len(context.requirements)} packages, {_models(context)}"
        note(f"{engine.name} builds the image from {context.base}: {contents}")
        built = engine.build(context.folder, tag or _tag(context))
    say(f"{built.tag}  {built.digest}  {built.bytes / 1e6:.0f} MB with its base, built in {built.seconds:.0f} s")


def _resolved(target: str, model: str | None) -> tuple[str, str | None, str | None]:
    """The pattern or file to serve, another model for it or None, and a name for the image or None for its own."""
    if target.endswith(".py"):
        if model:
            raise NotOffered(f"{target} takes no other model than its own; leave --model out")
        return target, None, None
    if lines := export_lines(target):
        raise WrongUse(lines)

    from mlpatterns.launch.resolve import resolve_name
    from mlpatterns.references import FileReference, RegisteredReference, is_file, parse_reference

    found = parse_reference(target) if is_file(target) else resolve_name(target)
    if isinstance(found, FileReference | RegisteredReference):
        if model:
            raise SettingsError(f"--model and {target} name two models; remove one of them")
        if isinstance(found, FileReference):
            return OF_A_MODEL, f"file:{found.path.absolute()}", found.path.stem
        return OF_A_MODEL, target, found.name
    if model and not found.takes_model:
        raise NotOffered(f"{target} takes no other model than its own; leave --model out")
    return target, model, None


def _print_context(context: ImageContext, tag: str | None) -> None:
    say(f"{context.folder}: the build context of {context.name}, {len(context.requirements)} packages")
    for model in context.models:
        say(f"  {model.name:<24}version {model.version}, sha256 {model.sha256[:12]}")
    say(f"next: docker build --tag {tag or _tag(context)} {shlex.quote(os.path.relpath(context.folder))}")


def _models(context: ImageContext) -> str:
    return ", ".join(f"{model.name}:{model.version}" for model in context.models) or "no model of its own"


def _tag(context: ImageContext) -> str:
    """A tag that engines accept: the name in lower case, with the model's version if there is exactly one model."""
    name = re.sub(r"[^a-z0-9]+", "-", context.name.lower()).strip("-") or "service"
    version = context.models[0].version if len(context.models) == 1 else "latest"
    return f"{name}:{re.sub(r'[^A-Za-z0-9_.-]', '-', version)}"
