"""Declares flags, and turns them into settings of this process and of its child processes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import typer

from mlpatterns.settings import Settings, load_settings
from mlpatterns.settings_sources import PREFIX

__all__ = ["apply_flags", "flag"]


def flag(help: str, *names: str, panel: str | None = None, metavar: str | None = None) -> Any:
    """A flag of a command. Without `names` it is named after its argument."""
    return typer.Option(*names, help=help, rich_help_panel=panel, metavar=metavar)


def apply_flags(flags: Mapping[str, Any]) -> Settings:
    """The settings with these flags; None means that a flag was not given.

    The flags are also written to the environment, where the app, worker processes and `build()` read them.

    Raises:
        SettingsError: a value is invalid.
    """
    settings = load_settings(flags).settings
    for name, value in flags.items():
        if value is not None:
            variable = f"{PREFIX}{name.upper()}"
            os.environ.pop(f"{variable}_FILE", None)  # a flag overrides every other source, a mounted secret too
            os.environ[variable] = str(value).lower() if isinstance(value, bool) else str(value)
    return settings
