"""`mlpatterns train NAME…`: trains, verifies and registers models."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Annotated

import typer

from mlpatterns.catalog import require, serving, systems
from mlpatterns.cli.flags import flag
from mlpatterns.cli.output import say
from mlpatterns.cli.progress import progress
from mlpatterns.cli.registry_releasing import FORCE, PROMOTE, check_force, outcome, require_promoted, warn_if_behind
from mlpatterns.user_errors import NotOffered, WrongUse

if TYPE_CHECKING:
    from mlpatterns.training import StepOutput, TrainingResult

__all__ = ["command"]

DATASETS = ("cifar10", "cifar100")


def command(
    names: Annotated[
        list[str],
        typer.Argument(metavar="NAME", help="Trainings (or their names in the book), or models that a training makes."),
    ],
    test_size: Annotated[float | None, flag("The share of rows kept for testing. (default: 0.3)")] = None,
    seed: Annotated[int | None, flag("The seed of the split and the estimator. (default: 0)")] = None,
    target_iris: Annotated[
        str | None,
        flag(
            "For iris_binary: the species to tell from the others. (default: setosa)",
            metavar="setosa|versicolor|virginica",
        ),
    ] = None,
    promote: Annotated[bool, flag(PROMOTE, "--promote/--no-promote")] = False,
    force: Annotated[bool, flag(FORCE, "--force")] = False,
    mlflow: Annotated[str | None, flag("Also track the run on this MLflow server.", metavar="URI")] = None,
    then: Annotated[
        bool, typer.Option("--next/--no-next", help="Print the command that serves the model.", hidden=True)
    ] = True,
    step: Annotated[
        str | None,
        flag(
            "For cifar10: run only this step, after missing steps that it needs; register nothing.",
            metavar="preprocess|train|build|evaluate",
        ),
    ] = None,
    dataset: Annotated[
        str | None, flag("For cifar10: the data set. (default: cifar10)", metavar="cifar10|cifar100")
    ] = None,
    data: Annotated[
        str | None,
        flag(
            "For cifar10: the archive; or, as in the book, the name of the data set. (default: the publisher's URL)",
            metavar="URL|FILE",
        ),
    ] = None,
    synthetic: Annotated[
        bool | None, flag("For cifar10: draw images of ten shapes, with no network.", "--synthetic")
    ] = None,
    images: Annotated[int | None, flag("For cifar10: how many to draw. (default: 2000)")] = None,
    test_images: Annotated[int | None, flag("For cifar10: how many to draw for testing. (default: 1000)")] = None,
    model_type: Annotated[
        str | None, flag("For cifar10: the network. (default: resnet)", metavar="resnet|simple|vgg11|vgg16")
    ] = None,
    width: Annotated[
        int | None, flag("For cifar10: channels of the first stage. (default: the model type's own)")
    ] = None,
    epochs: Annotated[int | None, flag("For cifar10: how often to train on all images. (default: 20)")] = None,
    batch_size: Annotated[int | None, flag("For cifar10: images per batch. (default: 128)")] = None,
    learning_rate: Annotated[float | None, flag("For cifar10: the schedule's highest rate. (default: 0.05)")] = None,
    num_workers: Annotated[int | None, flag("For cifar10: threads that prepare batches ahead. (default: 2)")] = None,
    threads: Annotated[int | None, flag("For cifar10: torch's threads. (default: the CPUs of this machine)")] = None,
) -> None:
    """Train a model, check that its ONNX file answers as the original does, and register it as a new version.

    The first version of a name is its champion; a later one becomes champion with --promote, or by `registry alias`."""
    given = {option: value for option, value in locals().items() if value is not None}
    for name in ("names", "promote", "force", "mlflow", "then", "step"):
        given.pop(name, None)
    check_force(promote, force)
    if given.get("data") in DATASETS:  # the book uses --data for the name of a dataset
        given.setdefault("dataset", given.pop("data"))
    from mlpatterns.settings import load_settings
    from mlpatterns.training import check, run, run_step

    if step is not None and mlflow is not None:
        raise WrongUse("--mlflow tracks whole runs; leave out --step")
    settings = load_settings().settings
    known = [_known(name) for name in names]
    for name in known:  # before any of them is trained
        check(name, step=step, options=given)
    refused = []
    for name in known:
        began = perf_counter()
        with progress() as report:
            if step is not None:
                output = run_step(name, step, home=settings.home, options=given, report=report)
            else:
                result = run(
                    name, home=settings.home, registry_url=settings.registry_url, artifacts=settings.artifacts_url,
                    options=given, promote=promote, force=force, mlflow=mlflow, report=report,
                )  # fmt: skip
        if step is None:
            _print(result, perf_counter() - began)
            warn_if_behind(result)
            refused += [result] if result.refused else []
            if then and result.champion:
                say(f"next: {_next(result.name)}")
        else:
            _print_step(output, perf_counter() - began)
    require_promoted(*refused)


def _known(name: str) -> str:
    """The name of the training or model for a name that the user wrote."""
    from mlpatterns.training import MODELS

    if name in MODELS:
        return name
    system = require(name, "demo")
    if system.header.group != "training":
        raise NotOffered(f"{system.name} is not a training; `mlpatterns list --group training` shows them")
    return system.name


def _print_step(output: StepOutput, seconds: float) -> None:
    say(f"{output.step} {'was done already' if output.cached else f'ran in {seconds:.1f} s'}")
    say(f"  digest  {output.digest}")
    say(f"  files   {output.folder}")


def _print(result: TrainingResult, seconds: float) -> None:
    from mlpatterns.registry.files import METADATA, load_metadata

    say(f"{result.name}:{result.version} ({outcome(result)}), trained in {seconds:.1f} s")
    metrics, parity = result.metrics, result.parity
    width = 2 + max(9, *(len(label) for label in metrics))
    for label, text in (
        ("sha256", result.sha256),
        ("data", f"{result.dataset} sha256:{result.dataset_sha256}"),
        *((_words(label), f"{value:.4f}") for label, value in metrics.items() if isinstance(value, float)),
        *((_words(label), str(value)) for label, value in metrics.items() if isinstance(value, int)),
        ("parity", f"max difference {parity.max_difference:.2e} on {parity.rows} rows (at most {parity.tolerance:g})"),
        ("files", str(result.folder)),
    ):
        say(f"  {label:<{width}}{text}")
    if "confusion" in metrics:
        _print_confusion(metrics["confusion"], load_metadata(result.folder / METADATA).labels)


def _words(label: str) -> str:
    return label.replace("_", " ")


def _print_confusion(counts: list[list[int]], labels: tuple[str, ...]) -> None:
    """Prints the confusion matrix: one row for each true class, one column for each predicted class."""
    width = max(len(label) for label in labels)
    say("  confusion  (rows: true classes, columns: predicted classes)")
    for label, row in [("", labels), *zip(labels, counts, strict=True)]:
        say(f"    {label:>{width}}  " + "  ".join(f"{cell:>{width}}" for cell in row))


def _next(name: str) -> str:
    """The command that serves the trained model: the last `mlpatterns run` in the header of its training or, if the
    training is not a system, of the first system that serves the model."""
    from mlpatterns.training import MODELS

    training = MODELS[name][0].name if name in MODELS else name
    told = [system for system in systems() if system.name == training] or serving(name)
    commands = [line for system in told[:1] for line in system.header.commands.splitlines()]
    return next((line for line in reversed(commands) if line.startswith("mlpatterns run ")), "mlpatterns list")
