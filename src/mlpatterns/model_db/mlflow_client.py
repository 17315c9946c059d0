"""MLflow's own client in a separate process: `python -m mlpatterns.model_db.mlflow_client URI`.

MLflow and its libraries wait for a server in ways that no code in their process can interrupt: a server that sends one
byte per second keeps a read open for ever. `mlflow_server.py` starts this process, sends calls to it, and kills it if
an answer takes too long.

Each line of standard input is a ClientCall, and each line of standard output is a ClientReply. The first reply belongs
to no call: it reports that the client is ready.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from math import isfinite
from queue import SimpleQueue
from threading import Thread
from typing import Any

import msgspec
from msgspec import Struct

__all__ = ["ArtifactFile", "ClientCall", "ClientReply", "MlflowVersion"]

NO_SUCH_RUN = "RESOURCE_DOES_NOT_EXIST"


class ClientCall(Struct, frozen=True):
    """One method of a Client with its arguments."""

    method: str
    arguments: dict[str, Any] = {}


class ClientReply(Struct, frozen=True, omit_defaults=True):
    """The value that a method returned, or the texts of its exception and the causes, the exception first. `code` is
    MLflow's error code, or empty."""

    value: Any = None
    errors: tuple[str, ...] = ()
    code: str = ""


class MlflowVersion(Struct, frozen=True):
    """A version of a registered model.

    Attributes:
        root: the URI of its folder of artifacts.
        source: the source that its author gave at registration.
        run_id: the id of the run that made it; None if there is none.
        parameters, metrics: the parameters and the finite metrics of that run; empty if the run does not exist.
    """

    number: int
    root: str
    source: str
    run_id: str | None
    parameters: dict[str, str]
    metrics: dict[str, float]


class ArtifactFile(Struct, frozen=True):
    """A file or folder of artifacts: its path below their root, and its size in bytes if the server reports it."""

    path: str
    is_dir: bool
    bytes: int | None


class Client:
    """The calls to an MLflow server that this project makes. Each method blocks for as long as MLflow does."""

    def __init__(self, uri: str) -> None:
        from mlflow import MlflowClient

        self._uri, self._client = uri, MlflowClient(tracking_uri=uri, registry_uri=uri)

    def version(self, name: str, alias: str | None, number: str | None) -> MlflowVersion:
        client = self._client
        found = client.get_model_version_by_alias(name, alias) if alias else client.get_model_version(name, number)
        root = client.get_model_version_download_uri(found.name, found.version)
        run = self._run(found.run_id) if found.run_id else None
        return MlflowVersion(
            int(found.version),
            root,
            found.source or root,
            found.run_id or None,
            dict(run.data.params) if run else {},
            {name: value for name, value in run.data.metrics.items() if isfinite(value)} if run else {},
        )

    def artifacts(self, root: str, folder: str | None) -> list[ArtifactFile]:
        listed = self._artifacts(root).list_artifacts(folder)
        return [ArtifactFile(each.path, each.is_dir, each.file_size) for each in listed]

    def download(self, root: str, path: str, target: str) -> str:
        return str(self._artifacts(root).download_artifacts(path, dst_path=target))

    def begin_run(self, experiment: str) -> str:
        found = self._client.get_experiment_by_name(experiment)
        experiment_id = found.experiment_id if found else self._client.create_experiment(experiment)
        return str(self._client.create_run(experiment_id).info.run_id)

    def log_parameter(self, run_id: str, name: str, value: str) -> None:
        self._client.log_param(run_id, name, value)

    def log_metric(self, run_id: str, name: str, value: float, step: int) -> None:
        self._client.log_metric(run_id, name, value, step=step)

    def set_tag(self, run_id: str, name: str, value: str) -> None:
        self._client.set_tag(run_id, name, value)

    def log_file(self, run_id: str, file: str, folder: str) -> None:
        self._client.log_artifact(run_id, file, None if folder == "." else folder)

    def end_run(self, run_id: str, status: str) -> None:
        self._client.set_terminated(run_id, status)

    def _artifacts(self, root: str) -> Any:
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        return get_artifact_repository(root, tracking_uri=self._uri)

    def _run(self, run_id: str) -> Any:
        """The run; None if it does not exist."""
        from mlflow.exceptions import MlflowException

        try:
            return self._client.get_run(run_id)
        except MlflowException as error:
            if error.error_code == NO_SUCH_RUN:
                return None
            raise


METHODS: Mapping[str, Callable[..., Any]] = {
    method.__name__: method
    for method in (
        Client.version, Client.artifacts, Client.download, Client.begin_run, Client.log_parameter, Client.log_metric,
        Client.set_tag, Client.log_file, Client.end_run,
    )
}  # fmt: skip


def reply_of(work: Callable[[], Any]) -> ClientReply:
    """A reply with the value that `work` returns, or with any exception: MLflow raises those of many libraries."""
    try:
        return ClientReply(msgspec.to_builtins(work()))
    except Exception as error:
        chain: list[BaseException] = [error]
        while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None:
            chain.append(cause)
        return ClientReply(errors=tuple(str(each) or type(each).__name__ for each in chain), code=_code(error))


def _code(error: Exception) -> str:
    from mlflow.exceptions import MlflowException

    return str(error.error_code) if isinstance(error, MlflowException) else ""


def main(uri: str) -> None:
    """Answers calls until standard input is closed, which happens when the parent process ends."""
    replies = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # the output of a library must not be read as a reply
    calls: SimpleQueue[ClientCall] = SimpleQueue()

    def answer() -> None:
        made: list[Client] = []
        ready = reply_of(lambda: made.append(Client(uri)))
        replies.write(msgspec.json.encode(ready) + b"\n")
        while made:
            call = calls.get()
            reply = reply_of(lambda: METHODS[call.method](made[0], **call.arguments))  # noqa: B023 - called at once
            replies.write(msgspec.json.encode(reply) + b"\n")

    Thread(target=answer, daemon=True).start()
    for line in sys.stdin.buffer:
        calls.put(msgspec.json.decode(line, type=ClientCall))
    os._exit(0)  # a normal exit could wait for a call that hangs


if __name__ == "__main__":
    main(sys.argv[1])
