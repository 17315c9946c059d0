"""`mlpatterns demo NAME`: runs a system and checks its claims."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from importlib import import_module
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer
from msgspec.structs import replace

from mlpatterns.catalog import System, require
from mlpatterns.cli.output import say, table
from mlpatterns.settings_sources import PREFIX
from mlpatterns.user_errors import UserError

if TYPE_CHECKING:
    from mlpatterns.evidence import Evidence
    from mlpatterns.settings import Settings

__all__ = ["command", "print_evidence"]


def command(name: Annotated[str, typer.Argument(help="The system's name, or its name in the book.")]) -> int:
    """Run a system, measure each of its claims and print the results; exit 1 if a claim does not hold.

    It first trains the models that are not trained yet. It shares only models with your servers: it uses the default
    settings, and neither reads nor changes weights, pins, parameters, jobs or logs.
    """
    system = require(name, "demo")
    try:
        evidence = _evidence(system)
    except UserError:
        raise
    except Exception as error:
        cause = _first(error)
        raise UserError(f"the demo of {system.name} failed: {type(cause).__name__}: {cause}") from error
    print_evidence(evidence)
    return 0 if evidence.holds else 1


def _first(error: BaseException) -> BaseException:
    """The first error that is not an exception group, because the text of a group only counts its errors."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def print_evidence(evidence: Evidence) -> None:
    """Prints one line for each claim, then the verdict."""
    rows = [("holds" if row.holds else "FAILS", row.claim, row.bound, row.measured) for row in evidence.rows]
    table(("Verdict", "Claim", "Bound", "Measured"), rows, heading=True)
    failed = sum(not row.holds for row in evidence.rows)
    say(f"{evidence.name}: " + (f"all {len(rows)} claims hold" if evidence.holds else f"{failed} of {len(rows)} fail"))


def _evidence(system: System) -> Evidence:
    from mlpatterns.cli.missing import train_missing
    from mlpatterns.launch.own_stores import own_stores
    from mlpatterns.launch.target import app_of
    from mlpatterns.settings import load_settings

    module = import_module(system.module)
    settings = load_settings().settings
    if system.header.group == "training":
        return _of_training(module, settings)
    with _default_settings(settings, settings.registry_url, settings.artifacts_url), own_stores():
        train_missing([app_of(system)], load_settings().settings)
        return asyncio.run(_of_serving(module))


@contextmanager
def _default_settings(settings: Settings, registry: str = "", artifacts: str = "") -> Iterator[None]:
    """In the body, and in the processes that it starts, all settings but those of the models and the log are defaults.

    Without a registry the models are in the home.

    A demo makes claims about the default settings, and sends requests without credentials. So API keys, limits and URLs
    of services that are set for the servers of this environment or folder do not apply to it.
    """
    before = dict(os.environ)
    for name in [name for name in before if name.startswith(PREFIX)]:
        del os.environ[name]
    where = {"HOME": settings.home.absolute(), "REGISTRY": registry, "ARTIFACTS": artifacts}
    logs = {"LOG_LEVEL": settings.log_level, "LOG_FORMAT": settings.log_format}
    os.environ.update({f"{PREFIX}{name}": str(value) for name, value in {**where, **logs}.items()})
    try:
        with TemporaryDirectory(prefix="mlpatterns-") as folder, chdir(folder):  # a folder without mlpatterns.toml
            yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _of_training(module: Any, settings: Settings) -> Evidence:
    """The demo gets its own home and registry: a demo of a training must not move the champion that servers use."""
    from pathlib import Path

    from mlpatterns.cli.missing import unwritable

    try:
        settings.home.mkdir(parents=True, exist_ok=True)
        own = TemporaryDirectory(prefix="demo-", dir=settings.home)
    except OSError as error:
        raise unwritable(settings.home, error) from error
    with own as name:
        home = Path(name).absolute()
        with _default_settings(replace(settings, home=home)):
            evidence: Evidence = module.demo(home)
            return evidence


async def _of_serving(module: object) -> Evidence:
    from mlpatterns.testing import client

    async with client(module.app) as http:  # type: ignore[attr-defined]
        evidence: Evidence = await module.demo(http)  # type: ignore[attr-defined]
        return evidence
