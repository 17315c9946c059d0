"""`mlpatterns registry …`: the commands of the model DB, which use its database or its HTTP service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from mlpatterns.cli.flags import flag
from mlpatterns.cli.model_flags import Columns, Labels, Missing, SampleFile, Threshold
from mlpatterns.cli.output import brief_logs, note, say, table
from mlpatterns.cli.registry_opened import opened_registry, suggest_nearest
from mlpatterns.cli.registry_releasing import (
    FORCE,
    PROMOTE,
    check_force,
    move_checked,
    outcome,
    require_promoted,
    warn_if_behind,
)
from mlpatterns.launch.export_lines import export_lines
from mlpatterns.references import RegisteredReference, name_of, parse_reference
from mlpatterns.user_errors import WrongUse

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Manage models, versions and aliases in the registry.")

NEXT = "next: mlpatterns run {0.name}:{0.version}"

Name = Annotated[str, typer.Argument(metavar="NAME", help="A model's name.")]
NameAndNumber = Annotated[str, typer.Argument(metavar="NAME:NUMBER", help="A version, such as iris:3.")]


@app.command("list")
def list_models(
    search: Annotated[str | None, flag("Only models with these words in the name or the description.")] = None,
    tag: Annotated[list[str], flag("Only models with all of these tags: KEY or KEY:VALUE.")] = [],  # noqa: B006
) -> None:
    """List all models with their last version, aliases and tags."""
    with opened_registry() as registry:
        rows = registry.models(search, tag)
    table(("Model", "Last version", "Aliases", "Tags"), rows, heading=True)


@app.command("show")
def show_model(name: Name) -> None:
    """Show the versions of a model: aliases, where they serve, tags, when they were made, digest."""
    with opened_registry() as registry, suggest_nearest(registry, name):
        rows = registry.versions(name)
    table(("Version", "Aliases", "Serves at", "Tags", "Made", "SHA-256"), rows, heading=True)


@app.command("alias")
def move_alias(
    version: NameAndNumber,
    alias: Annotated[str, typer.Argument(help="champion, challenger or a name of your own.")],
    expected: Annotated[
        int | None,
        typer.Option(min=0, help="Move the alias only if it names this version now; 0: only if it names nothing."),
    ] = None,
    force: Annotated[bool, flag("Move the alias without the checks.", "--force")] = False,
) -> None:
    """Release a version: move an alias to it, if it may replace the version that the alias names.

    The version must have the same inputs, outputs and labels, load on this machine, answer its golden set (or its
    sample with finite numbers), and not be far worse in its evaluation. Servers of NAME@ALIAS load it at their next
    start, a HotSwap at once."""
    from mlpatterns.settings import load_settings

    name, number = _version(version)
    parse_reference(f"{name}@{alias}")
    brief_logs()
    wanted: int | Literal["any"] | None = "any" if expected is None else expected or None
    with opened_registry() as registry, suggest_nearest(registry, name):
        if force:
            registry.move(name, alias, number, wanted, force=True)
        else:
            move_checked(registry, load_settings().settings, name, number, alias, wanted)
    say(f"{name}@{alias} is {name}:{number}")


@app.command("tag")
def tag(
    owner: Annotated[str, typer.Argument(metavar="NAME[:NUMBER]", help="A model, or a version of it.")],
    words: Annotated[list[str], typer.Argument(metavar="KEY=VALUE…", help="KEY= removes the tag.")],
) -> None:
    """Set or remove the tags of a model or a version."""
    for word in words:
        if not word.partition("=")[0] or "=" not in word:
            raise WrongUse(f"{word!r} is not a tag; write KEY=VALUE")
    given = {key: value for key, _, value in (word.partition("=") for word in words)}
    name, number = _version(owner) if ":" in owner else (owner, None)
    with opened_registry() as registry, suggest_nearest(registry, name):
        left = registry.tag((name, number), given)
    say(f"{owner}: {left or 'no tags'}")


@app.command("rm")
def remove(version: NameAndNumber) -> None:
    """Delete a version and its files, if no alias names it and it serves nowhere; its number is never used again."""
    name, number = _version(version)
    with opened_registry() as registry, suggest_nearest(registry, name):
        left = registry.delete(name, number)
    say(f"{name}:{number} is deleted{left}")


@app.command("sweep")
def sweep_artifacts(
    dry_run: Annotated[bool, flag("Print what would be removed, and remove nothing.", "--dry-run")] = False,
) -> None:
    """Remove artifacts older than a day that no version names; killed trainings leave them behind."""
    with opened_registry() as registry:
        found = registry.sweep(dry=dry_run)
    for url, size in found:
        say(f"{url}  {size} bytes")
    say(f"{len(found)} artifacts {'would be' if dry_run else 'were'} removed")


@app.command("import")
def import_model(
    model: Annotated[
        str, typer.Argument(metavar="FILE.onnx|models:/NAME@ALIAS", help="A model file, or a version in MLflow.")
    ],
    name: Annotated[str | None, flag("The name of the model. (default: the name of the file, or in MLflow)")] = None,
    labels: Labels = None,
    columns: Columns = None,
    missing: Missing = None,
    threshold: Threshold = None,
    sample: SampleFile = None,
    promote: Annotated[bool, flag(PROMOTE, "--promote/--no-promote")] = False,
    force: Annotated[bool, flag(FORCE, "--force")] = False,
    mlflow: Annotated[
        str | None, typer.Option(metavar="URI", envvar="MLFLOW_TRACKING_URI", help="The MLflow server.")
    ] = None,
    again: Annotated[bool, flag("Register an MLflow version again that is already registered.", "--again")] = False,
) -> None:
    """Register a plain ONNX file, or the ONNX model of a version in MLflow, as the next version of a model.

    The first version of a name is its champion; a later one becomes champion with --promote, or by `registry alias`."""
    check_force(promote, force)
    brief_logs()
    from mlpatterns.model_db.importing import import_file
    from mlpatterns.model_db.mlflow_import import import_mlflow, is_mlflow
    from mlpatterns.models.chosen import model_options
    from mlpatterns.settings import load_settings

    said = {"labels": labels, "columns": columns, "missing": missing, "threshold": threshold, "sample": sample}
    settings = load_settings(said).settings
    given: dict[str, Any] = {"options": model_options(settings), "promote": promote, "force": force}
    if is_mlflow(model):
        found = import_mlflow(model, mlflow, name, settings=settings, again=again, **given)
        if found.new is None:
            champion = " (champion)" if found.champion else ""
            say(f"{model} is already registered as {found.name}:{found.version}{champion}; --again registers it again")
            say(NEXT.format(found))
            return
        one = found.new
    else:
        if lines := export_lines(model):
            raise WrongUse(lines)
        file = Path(model)
        one = import_file(file, name or name_of(file), settings=settings, **given)
    made = one.made
    say(f"{made.name}:{made.version} ({outcome(made, one.unfit)})")
    if one.ungolden:
        note(f"{made.name}:{made.version} has no golden set: {one.ungolden}")
    warn_if_behind(made)
    require_promoted(made)
    say(NEXT.format(made))


def _version(text: str) -> tuple[str, int]:
    reference = parse_reference(text)
    if not isinstance(reference, RegisteredReference) or reference.version is None:
        raise WrongUse(f"{text!r} is not a version; write NAME:NUMBER")
    return reference.name, reference.version
