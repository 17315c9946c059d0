"""`mlpatterns log NAME`: shows the requests and answers in the log of a system."""

from __future__ import annotations

import asyncio
import re
from datetime import datetime
from time import time
from typing import Annotated

import typer

from mlpatterns.catalog import require
from mlpatterns.cli.flags import apply_flags, flag
from mlpatterns.settings import Settings
from mlpatterns.user_errors import SettingsError, WrongUse

__all__ = ["command"]

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def command(
    target: Annotated[str, typer.Argument(metavar="NAME|FILE.py[:app]", help="The system whose log to read.")],
    since: Annotated[
        str | None, flag("Only records since 90s, 30m, 1h or 7d ago, or a time such as 2026-11-28T09:00.")
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="How many of the newest records to show; 0 means all.")] = 100,
    follow: Annotated[bool, flag("Also show new records as they come, until Ctrl-C.", "--follow", "-f")] = False,
    as_json: Annotated[bool, flag("Print one record per line as JSON, with its feedback.", "--json")] = False,
    log: Annotated[str | None, flag("URL of the log. (default: the setting log)")] = None,
) -> None:
    """Show a system's requests and answers with their feedback, oldest first."""
    settings = apply_flags({"log": log})
    began = None if since is None else _time(since)
    names = _names(target, settings)
    from mlpatterns.cli.log_pages import show  # imported here, because it imports the stores

    asyncio.run(show(settings.log_url, names, began, limit, follow=follow, as_json=as_json))


def _names(target: str, settings: Settings) -> list[str]:
    """The first parts of the paths of the system's pieces."""
    if settings.system:
        return [settings.system]
    if not target.partition(":")[0].endswith(".py"):
        return [require(target, "app").name]
    from mlpatterns.launch.target import load_target
    from mlpatterns.runtime import roots_of
    from mlpatterns.server.app import App

    app = load_target(target)
    if not isinstance(app, App):
        raise WrongUse(f"{target} serves no predictions, so it has no log")
    built = app.build()
    return list(built) if isinstance(built, dict) else [root.name for root in roots_of(built)]


def _time(text: str) -> float:
    """The time that --since names, in seconds since 1970."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text)
    if match:
        return time() - float(match[1]) * SECONDS[match[2]]
    try:
        return datetime.fromisoformat(text).timestamp()  # a time without a zone is local time
    except (ValueError, OverflowError, OSError):
        raise SettingsError(f"--since {text!r} is not a time: write 90s, 30m, 1h, 7d or 2026-11-28T09:00") from None
