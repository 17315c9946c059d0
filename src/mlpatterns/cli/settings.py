"""`mlpatterns settings`: every setting, its value and where that came from."""

from __future__ import annotations

from mlpatterns.cli.output import table
from mlpatterns.settings import load_settings

__all__ = ["command"]


def command() -> None:
    """Show every setting with its value and its source; secrets are not shown.

    A setting is NAME in mlpatterns.toml, MLPATTERNS_NAME in the environment (or MLPATTERNS_NAME_FILE, the path of a
    secret), and --name as a flag of run; the later wins.
    """
    rows = [(name, value, source) for name, (value, source) in load_settings().redacted().items()]
    table(("Setting", "Value", "Source"), rows)
