"""Shows the progress of a training on standard error: a bar on a terminal, else plain lines."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mlpatterns.cli.output import note

if TYPE_CHECKING:
    from mlpatterns.training import Progress

__all__ = ["progress"]


@contextmanager
def progress() -> Iterator[Callable[[Progress], None]]:
    """A function that shows each report of a training."""
    if not sys.stderr.isatty():
        yield _ProgressLines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("")

        def show(step: Progress) -> None:
            if step.line:
                bar.console.print(f"{step.step}: {step.line}", highlight=False)
            bar.update(task, description=step.step, completed=step.done + step.share, total=step.total)

        yield show


class _ProgressLines:
    """Prints one line for each step, and one for each line that a step reports."""

    def __init__(self) -> None:
        self._begun = -1

    def __call__(self, step: Progress) -> None:
        if step.done >= step.total:
            return
        if step.done > self._begun:
            self._begun = step.done
            note(f"[{step.done + 1}/{step.total}] {step.step}")
        if step.line:
            note(f"    {step.line}")
