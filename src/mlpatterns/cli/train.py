"""`mlpatterns train NAME`: train, prove and register a model."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["command"]


def command(
    context: typer.Context, name: Annotated[str, typer.Argument(help="The training's name, or the book's.")]
) -> None:
    """Train a model, prove that it was exported faithfully, and register it as a new version."""
