"""`mlpatterns settings [TARGET]`: shows every setting with its value and source, or the parameters of a target."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from mlpatterns.cli.output import note, table
from mlpatterns.settings import load_settings
from mlpatterns.user_errors import WrongUse

__all__ = ["command"]

COLUMNS = ("Setting", "Value", "Source")


def command(
    target: Annotated[
        str | None, typer.Argument(metavar="[NAME|FILE.py[:app]]", help="Show the parameters of this system instead.")
    ] = None,
) -> None:
    """Show every setting with its value and its source; secrets are not shown.

    A setting is NAME in mlpatterns.toml, MLPATTERNS_NAME in the environment (or MLPATTERNS_NAME_FILE, the path of a
    secret), and --name as a flag of run; the later wins. If TARGET has parameters that commands can change, as
    parameter_based has, show the values in force: the start values, or those that a command has set.
    """
    loaded = load_settings()
    if target is None:
        table(COLUMNS, [(name, value, source) for name, (value, source) in loaded.redacted().items()])
        return

    from mlpatterns.cli.parameters_in_force import parameters_in_force
    from mlpatterns.launch.target import load_target
    from mlpatterns.server.app import App

    app = load_target(target)
    held = asyncio.run(parameters_in_force(app, loaded.settings)) if isinstance(app, App) else []
    if not held:
        raise WrongUse(f"{target} has no parameters; `mlpatterns settings` alone shows the settings of all systems")
    rows = [
        (name if len(held) == 1 else f"{one.path}: {name}", value, source)
        for one in held
        for name, value, source in one.rows
    ]
    table(("Parameter", *COLUMNS[1:]), rows)
    for one in held:
        for warning in one.warnings:
            note(f"{one.path}: {warning}; `mlpatterns run {target} --reset-shared` resets what commands have set")
