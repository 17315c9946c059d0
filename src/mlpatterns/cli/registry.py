"""`mlpatterns registry …`: the model DB from the command line, over its database and not over its service."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from mlpatterns.cli.output import say, table
from mlpatterns.errors import PredictionError, UserError
from mlpatterns.references import RegisteredReference, parse_reference

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

__all__ = ["app"]

T = TypeVar("T")
app = typer.Typer(no_args_is_help=True, help="Models, versions and aliases of the registry.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="A model's name.")]
NameAndNumber = Annotated[str, typer.Argument(metavar="NAME:NUMBER", help="A version.")]


@app.command("list")
def list_models(
    search: Annotated[str | None, typer.Option(help="Words in the name or the description.")] = None,
    tag: Annotated[list[str], typer.Option(help="KEY or KEY:VALUE; those alone that have all.")] = [],  # noqa: B006
) -> None:
    """All models: how many versions they had, what their aliases name, their tags."""
    from mlpatterns.model_db.nouns import aliases, models

    def rows(session: Session) -> list[tuple[str, ...]]:
        found = session.scalars(models.listed(search, tag).order_by(*models.ORDER)).all()
        return [
            (each.model_name, str(each.last_number),
             ", ".join(f"{one.alias}:{one.number}" for one in aliases.listed(session, each.model_name)),
             _words(each.tags))
            for each in found
        ]  # fmt: skip

    table(("Model", "Last version", "Aliases", "Tags"), _read(rows), heading=True)


@app.command("show")
def show_model(name: Name) -> None:
    """The versions of a model: who names them, where they serve, their tags, when they were made, their digest."""
    from mlpatterns.model_db.nouns import models, versions

    def rows(session: Session) -> list[tuple[str, ...]]:
        found = session.scalars(versions.listed(models.by_name(session, name)).order_by(*versions.ORDER)).unique()
        return [
            (str(each.number), ", ".join(each.aliases),
             ", ".join(one.deployment_name for one in each.deployments if one.ended_datetime is None),
             _words(each.tags), f"{each.created_datetime:%Y-%m-%d %H:%M} UTC", each.sha256[:12])
            for each in found
        ]  # fmt: skip

    table(("Version", "Aliases", "Serves at", "Tags", "Made", "SHA-256"), _read(rows), heading=True)


@app.command("alias")
def move_alias(
    version: NameAndNumber,
    alias: Annotated[str, typer.Argument(help="champion, challenger or a name of your own.")],
    expected: Annotated[
        int | None, typer.Option(help="Move it only from this version; 0: only if it names nothing.")
    ] = None,
) -> None:
    """Let an alias name a version; servers of NAME@ALIAS load it when they start."""
    from mlpatterns.model_db.nouns import aliases

    name, number = _version(version)
    parse_reference(f"{name}@{alias}")
    wanted = aliases.ANY if expected is None else expected or None
    _write(lambda session: aliases.point(session, name, alias, number, wanted))
    say(f"{name}@{alias} is {name}:{number}")


@app.command("tag")
def tag(
    owner: Annotated[str, typer.Argument(metavar="NAME[:NUMBER]", help="A model, or a version of it.")],
    words: Annotated[list[str], typer.Argument(metavar="KEY=VALUE…", help="KEY= takes the tag away.")],
) -> None:
    """Give a model or a version tags."""
    from mlpatterns.model_db.nouns import models, tags, versions

    for word in words:
        if not word.partition("=")[0] or "=" not in word:
            raise UserError(f"{word!r} is no tag; write KEY=VALUE")

    def work(session: Session) -> str:
        whole = ":" not in owner
        tagged = models.by_name(session, owner) if whole else versions.by_number(session, *_version(owner))
        for key, _, value in (word.partition("=") for word in words):
            if value:
                tags.set_tag(tagged, key, value)
            else:
                tags.remove(tagged, key)
        return _words(tagged.tags)

    say(f"{owner}: {_write(work) or 'no tags'}")


@app.command("rm")
def remove(version: NameAndNumber) -> None:
    """Delete a version that no alias names and that serves nowhere, then its files; its number is never given again."""
    from mlpatterns.model_db.artifacts import withdraw
    from mlpatterns.model_db.nouns import versions
    from mlpatterns.settings import load_settings
    from mlpatterns.stores import open_objects

    name, number = _version(version)
    root = load_settings().settings.artifacts_url
    open_objects(root)  # what is wrong with its URL is known before anything is deleted
    url = _write(lambda session: versions.delete(session, name, number))
    stays = "" if withdraw(root, url) else "; its files could not be: `mlpatterns registry sweep` removes them later"
    say(f"{name}:{number} is deleted{stays}")


@app.command("sweep")
def sweep_artifacts(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be removed, and remove nothing.")] = False,
) -> None:
    """Remove artifacts that no version names and that are older than a day: what killed trainings left behind."""
    from mlpatterns.model_db.sweeping import sweep
    from mlpatterns.settings import load_settings

    with _opened() as engine:
        found = sweep(engine, load_settings().settings.artifacts_url, dry=dry_run)
    for one in found:
        say(f"{one.url}  {one.bytes} bytes")
    say(f"{len(found)} artifacts {'would be' if dry_run else 'were'} removed")


@app.command("import")
def import_model(
    file: Annotated[Path, typer.Argument(metavar="FILE.onnx", help="A model file.")],
    name: Annotated[str | None, typer.Option(help="The model's name. (default: the file's)")] = None,
    labels: Annotated[Path | None, typer.Option(help="Its class names: one a line, or a JSON list.")] = None,
    promote: Annotated[
        bool, typer.Option("--promote/--no-promote", help="Let the alias `champion` name the new version.")
    ] = True,
) -> None:
    """Register a plain ONNX file as the next version of a model."""
    from mlpatterns.model_db.importing import import_file
    from mlpatterns.models.chosen import read_labels
    from mlpatterns.settings import load_settings

    words = read_labels(labels) if labels else ()
    made = import_file(file, name or file.stem, settings=load_settings().settings, labels=words, promote=promote)
    say(f"{made.name}:{made.version}{' (champion)' if made.champion else ''}")
    say(f"next: mlpatterns run web_single --model {made.name}:{made.version}")


def _version(text: str) -> tuple[str, int]:
    reference = parse_reference(text)
    if not isinstance(reference, RegisteredReference) or reference.version is None:
        raise UserError(f"{text!r} is no version; write NAME:NUMBER")
    return reference.name, reference.version


def _words(tags: dict[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in sorted(tags.items()))


def _read(work: Callable[[Session], T]) -> T:
    from sqlalchemy.orm import Session

    with _opened() as engine, Session(engine) as session:
        return work(session)


def _write(work: Callable[[Session], T]) -> T:
    from mlpatterns.model_db.transactions import Writer

    with _opened() as engine:
        return Writer(engine).run(work)


@contextmanager
def _opened() -> Iterator[Engine]:
    """The registry of the settings; what its nouns refuse is one sentence. Asking does not make a registry."""
    from mlpatterns.model_db.upgrade import upgrade
    from mlpatterns.registry.urls import sqlite_file
    from mlpatterns.settings import load_settings

    from mlpatterns.model_db.database import unusable  # isort: skip
    from sqlalchemy.exc import DBAPIError  # isort: skip - after `database`, which names the extra

    url = load_settings().settings.registry_url
    file = sqlite_file(url)
    if file is not None and not file.exists():
        raise UserError("there is no registry yet; `mlpatterns train NAME` or `mlpatterns registry import` makes one")
    engine = upgrade(url)
    try:
        yield engine
    except PredictionError as error:
        raise UserError(str(error)) from error
    except DBAPIError as error:
        raise unusable(url, error) from error
    finally:
        engine.dispose()
