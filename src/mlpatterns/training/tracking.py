"""A run in MLflow too: the same parameters, metrics and artifacts as in the model DB.

The server is asked before the training begins, so that one that is down is known then and not hours later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import msgspec

from mlpatterns.errors import UserError
from mlpatterns.model_db.mlflow_server import environment, opened, told
from mlpatterns.training.contents import RECORD
from mlpatterns.training.steps import TrainingResult

__all__ = ["tracked"]

Track = Callable[[TrainingResult], None]

LONGEST = 500  # characters of a parameter that MLflow keeps


@contextmanager
def tracked(uri: str | None, experiment: str) -> Iterator[Track]:
    """A run of `experiment`, finished if the body tracked its result and failed if it raised; nothing without a URI.

    Raises:
        UserError: the server does not answer.
        MissingExtra: without mlflow-skinny.
    """
    if uri is None:
        yield lambda _: None
        return
    with environment():
        client, run_id = _begin(uri, experiment)
        try:
            yield lambda result: told(uri, lambda: _log(client, run_id, result), _registered(result))
        except BaseException:
            with suppress(UserError):  # what is told is the training's own error
                told(uri, lambda: client.set_terminated(run_id, "FAILED"))
            raise
        told(uri, lambda: client.set_terminated(run_id, "FINISHED"))


def _registered(result: TrainingResult) -> str:
    return f"{result.name}:{result.version} is registered, but "


def _begin(uri: str, experiment: str) -> tuple[Any, str]:
    client = opened(uri, "tracking with MLflow")

    def begin() -> tuple[Any, str]:
        found = client.get_experiment_by_name(experiment)
        experiment_id = found.experiment_id if found else client.create_experiment(experiment)
        return client, client.create_run(experiment_id).info.run_id

    made: tuple[Any, str] = told(uri, begin)
    return made


def _log(client: Any, run_id: str, result: TrainingResult) -> None:
    record = msgspec.json.decode((result.folder / RECORD).read_bytes(), type=dict[str, Any])
    parameters = {**record["parameters"], "dataset": result.dataset, "dataset_sha256": result.dataset_sha256}
    for name, value in parameters.items():
        client.log_param(run_id, name, str(value)[:LONGEST])
    for name, number, step in _figures(result.metrics):
        client.log_metric(run_id, name, number, step=step)
    for name, text in (("model", f"{result.name}:{result.version}"), ("sha256", result.sha256)):
        client.set_tag(run_id, name, text)
    client.log_artifacts(run_id, str(result.folder))


def _figures(metrics: Mapping[str, Any], prefix: str = "", step: int = 0) -> Iterator[tuple[str, float, int]]:
    """Every number by name; those of an epoch with its number as the step."""
    for name, value in metrics.items():
        if isinstance(value, int | float):
            yield f"{prefix}{name}", float(value), step
        elif isinstance(value, Mapping):
            yield from _figures(value, f"{prefix}{name}.", step)
        elif name == "epochs":
            for row in value:
                yield from _figures({key: row[key] for key in row if key != "epoch"}, "epoch.", row["epoch"])
