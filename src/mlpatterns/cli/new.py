"""`mlpatterns new DIR --pattern NAME`: makes a project from a pattern."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlpatterns.catalog import System, get, require
from mlpatterns.cli.flags import apply_flags, flag
from mlpatterns.cli.model_flags import Columns, Labels, Missing, SampleFile, Threshold, from_anywhere, require_model
from mlpatterns.cli.output import say
from mlpatterns.user_errors import NotOffered

if TYPE_CHECKING:
    from mlpatterns.scaffold.project import MadeProject

__all__ = ["command"]


def command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder, or an empty one.")],
    pattern: Annotated[str, flag("The system to start from: its name, or its name in the book.")],
    model: Annotated[
        str | None,
        flag("Your model, or a registered one. (default: the pattern's own)", metavar="FILE.onnx"),
    ] = None,
    labels: Labels = None,
    columns: Columns = None,
    missing: Missing = None,
    threshold: Threshold = None,
    sample: SampleFile = None,
) -> None:
    """Make a project of your own: app, model, tests, Makefile, Dockerfile, README.

    It first trains the models that are not trained yet.
    """
    system = _system(pattern)
    said = {"labels": labels, "columns": columns, "missing": missing, "threshold": threshold, "sample": sample}
    settings = apply_flags(from_anywhere({"model": model, **said}))
    require_model(said, settings.model)

    from mlpatterns.cli.missing import train_missing
    from mlpatterns.launch.target import load_pattern
    from mlpatterns.scaffold.project import check, make_project

    check(system, folder, model=model is not None)
    train_missing([load_pattern(system)], settings)
    _print(make_project(system, folder, settings), folder, system)


def _system(name: str) -> System:
    system = get(name)
    if system.header.group == "training" and "app" not in system.defines:
        run = "mlpatterns run "
        serves = [line.removeprefix(run) for line in system.header.commands.splitlines() if line.startswith(run)]
        use = (
            f"`--pattern {serves[0]}` serves its model"
            if serves
            else "`mlpatterns list --group serving` shows what serves"
        )
        raise NotOffered(f"{system.name} is a training and serves nothing; {use}")
    if "app" in system.defines and "build" not in system.defines and system.header.group != "training":
        raise NotOffered(f"{system.name} does not compose pieces, so no project can be made from it; "
                         f"`mlpatterns show {system.name}` shows its commands, which take models of yours")  # fmt: skip
    require(name, "app")
    return require(name, "build")


def _print(made: MadeProject, folder: Path, system: System) -> None:
    say(f"{folder}: the project {made.name}, made from {system.name}")
    for model in made.models:
        say(f"  {model.name:<24}{model.origin}, sha256 {model.sha256[:12]}")
    for fact in made.facts:
        if fact.metadata.sample is None:
            say(f"{fact.name} has no sample, because it refuses zeros and ones; the tests need one: give it with "
                "--sample, or write it into metadata.json")  # fmt: skip
    say(f"next: {shlex.join(['make', '-C', str(folder), 'test'])}")
