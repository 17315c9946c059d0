"""`mlpatterns train NAME…`: train, prove and register models."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

import typer

from mlpatterns.catalog import get, require
from mlpatterns.cli.output import note, say
from mlpatterns.errors import NotBuilt

if TYPE_CHECKING:
    from mlpatterns.training import Progress, TrainingResult

__all__ = ["command"]


def command(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME", help="Trainings by name or the book's, or models that one makes.")
    ],
    test_size: Annotated[
        float | None, typer.Option(help="The share of rows that is kept for testing. (default: 0.3)")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of the split and the estimator. (default: 0)")] = None,
    target_iris: Annotated[
        str | None,
        typer.Option(
            metavar="setosa|versicolor|virginica",
            help="Of iris_binary: the species to tell from the others. (default: setosa)",
        ),
    ] = None,
    promote: Annotated[
        bool, typer.Option("--promote/--no-promote", help="Let the alias `champion` name the new version.")
    ] = True,
) -> None:
    """Train a model, prove that its ONNX file answers as the original does, and register it as a new version."""
    from mlpatterns.settings import load_settings
    from mlpatterns.training import run

    settings = load_settings().settings
    given = {"test_size": test_size, "seed": seed, "target_iris": target_iris}
    for name in [_known(name) for name in names]:  # all of them first: a mistake in the last costs nothing
        began = perf_counter()
        with _progress() as report:
            result = run(
                name,
                home=settings.home,
                registry_url=settings.registry_url,
                options={option: value for option, value in given.items() if value is not None},
                promote=promote,
                report=report,
            )
        _print(result, perf_counter() - began)


def _known(name: str) -> str:
    """The name of the training or model that is meant."""
    from mlpatterns.training import MODELS

    if name in MODELS:
        return name
    system = require(name, "demo")
    if system.header.group != "training":
        raise NotBuilt(f"{system.name} is no training; `mlpatterns list --group training` shows them")
    return system.name


def _print(result: TrainingResult, seconds: float) -> None:
    from mlpatterns.registry.files import METADATA, load_metadata

    champion = " (champion)" if result.champion else ""
    say(f"{result.name}:{result.version}{champion}, trained in {seconds:.1f} s")
    metrics, parity = result.metrics, result.parity
    width = 2 + max(9, *(len(label) for label in metrics))
    for label, text in (
        ("sha256", result.sha256),
        ("data", f"{result.dataset} sha256:{result.dataset_sha256}"),
        *((_words(label), f"{value:.4f}") for label, value in metrics.items() if isinstance(value, float)),
        ("parity", f"max difference {parity.max_difference:.2e} on {parity.rows} rows (at most {parity.tolerance:g})"),
        ("files", str(result.folder)),
    ):
        say(f"  {label:<{width}}{text}")
    if "confusion" in metrics:
        _print_confusion(metrics["confusion"], load_metadata(result.folder / METADATA).labels)
    say(f"next: {_next(result.name)}")


def _words(label: str) -> str:
    return label.replace("_", " ")


def _print_confusion(counts: list[list[int]], labels: tuple[str, ...]) -> None:
    """A row a true class, a column a class that was answered."""
    width = max(len(label) for label in labels)
    say("  confusion  (a row a true class, a column an answered class)")
    for label, row in [("", labels), *zip(labels, counts, strict=True)]:
        say(f"    {label:>{width}}  " + "  ".join(f"{cell:>{width}}" for cell in row))


def _next(name: str) -> str:
    """The command that serves what was trained: the last `run` that the training's own header names."""
    from mlpatterns.training import MODELS

    training, _ = MODELS[name]
    commands = get(training.name).header.commands.splitlines()
    return next((line for line in reversed(commands) if line.startswith("mlpatterns run ")), "mlpatterns list --built")


@contextmanager
def _progress() -> Iterator[Callable[[Progress], None]]:
    """A bar on a terminal, else a line a step, on standard error."""
    if not sys.stderr.isatty():
        yield lambda step: note(f"[{step.done + 1}/{step.total}] {step.step}") if step.done < step.total else None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("")
        yield lambda step: bar.update(task, description=step.step, completed=step.done, total=step.total)
