"""`mlpatterns demo NAME`: runs a system and checks its claims."""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import TYPE_CHECKING, Annotated

import typer

from mlpatterns.catalog import System, require
from mlpatterns.cli.output import say, table
from mlpatterns.user_errors import UserError

if TYPE_CHECKING:
    from mlpatterns.evidence import Evidence

__all__ = ["command", "print_evidence"]


def command(name: Annotated[str, typer.Argument(help="The system's name, or the book's.")]) -> int:
    """Prove what a system claims: run it, print claim by claim what was measured; exit 1 if one does not hold.

    Models that are not trained yet are trained first.
    """
    system = require(name, "demo")
    try:
        evidence = _evidence(system)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"the demo of {system.name} failed: {type(error).__name__}: {error}") from error
    print_evidence(evidence)
    return 0 if evidence.holds else 1


def print_evidence(evidence: Evidence) -> None:
    """Prints one line for each claim, then the verdict."""
    rows = [("holds" if row.holds else "FAILS", row.claim, row.bound, row.measured) for row in evidence.rows]
    table(("Verdict", "Claim", "Bound", "Measured"), rows, heading=True)
    failed = sum(not row.holds for row in evidence.rows)
    say(f"{evidence.name}: " + (f"all {len(rows)} claims hold" if evidence.holds else f"{failed} of {len(rows)} fail"))


def _evidence(system: System) -> Evidence:
    from mlpatterns.cli.missing import train_missing, unwritable
    from mlpatterns.launch.target import app_of
    from mlpatterns.settings import load_settings

    module = import_module(system.module)
    settings = load_settings().settings
    if system.header.group == "training":
        from pathlib import Path
        from tempfile import TemporaryDirectory

        # The demo gets its own home, because a demo of a training must not move the champion that servers use.
        try:
            settings.home.mkdir(parents=True, exist_ok=True)
            own = TemporaryDirectory(prefix="demo-", dir=settings.home)
        except OSError as error:
            raise unwritable(settings.home, error) from error
        with own as home:
            evidence: Evidence = module.demo(Path(home))
            return evidence
    train_missing([app_of(system)], settings)
    return asyncio.run(_of_serving(module))


async def _of_serving(module: object) -> Evidence:
    from mlpatterns.testing import client

    async with client(module.app) as http:  # type: ignore[attr-defined]
        evidence: Evidence = await module.demo(http)  # type: ignore[attr-defined]
        return evidence
