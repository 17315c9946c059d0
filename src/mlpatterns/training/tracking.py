"""Tracks a training in MLflow, with the same parameters, metrics and artifacts as in the model DB.

The run is created before the training, so that it fails then, and not hours later, if the server is down.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import msgspec

from mlpatterns.model_db.mlflow_server import MlflowServer
from mlpatterns.training.contents import RECORD
from mlpatterns.training.steps import TrainingResult
from mlpatterns.user_errors import UserError

__all__ = ["tracked"]

Track = Callable[[TrainingResult], None]

LONGEST = 500  # characters that MLflow keeps of a parameter


@contextmanager
def tracked(uri: str | None, experiment: str) -> Iterator[Track]:
    """A run of `experiment`: it is finished if the body tracks its result, and failed if the body raises.

    Without a URI nothing is tracked.

    Raises:
        MlflowError: the server does not answer, or refuses the request.
        MissingExtra: mlflow-skinny is not installed.
    """
    if uri is None:
        yield lambda _: None
        return
    with MlflowServer(uri, "tracking with MLflow") as server:
        run_id = server.begin_run(experiment)
        try:
            yield lambda result: _log(server, run_id, result)
        except BaseException:
            with suppress(UserError):  # the error of the training is reported, not this one
                server.end_run(run_id, "FAILED")
            raise
        server.end_run(run_id, "FINISHED")


def _log(server: MlflowServer, run_id: str, result: TrainingResult) -> None:
    server.before = f"{result.name}:{result.version} is registered, but "
    record = msgspec.json.decode((result.folder / RECORD).read_bytes(), type=dict[str, Any])
    parameters = {**record["parameters"], "dataset": result.dataset, "dataset_sha256": result.dataset_sha256}
    for name, value in parameters.items():
        server.log_parameter(run_id, name, str(value)[:LONGEST])
    for name, number, step in _figures(result.metrics):
        server.log_metric(run_id, name, number, step)
    for name, text in (("model", f"{result.name}:{result.version}"), ("sha256", result.sha256)):
        server.set_tag(run_id, name, text)
    for file in sorted(result.folder.rglob("*")):
        if file.is_file():
            server.log_file(run_id, file, folder=str(file.parent.relative_to(result.folder)))


def _figures(metrics: Mapping[str, Any], prefix: str = "", step: int = 0) -> Iterator[tuple[str, float, int]]:
    """Every number with its name and step; the step of a number of an epoch is the number of that epoch."""
    for name, value in metrics.items():
        if isinstance(value, int | float):
            yield f"{prefix}{name}", float(value), step
        elif isinstance(value, Mapping):
            yield from _figures(value, f"{prefix}{name}.", step)
        elif name == "epochs":
            for row in value:
                yield from _figures({key: row[key] for key in row if key != "epoch"}, "epoch.", row["epoch"])
