"""Calls an MLflow server through a client process, which is killed if an answer takes too long."""

from __future__ import annotations

import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec

from mlpatterns.model_db.mlflow_client import ArtifactFile, ClientCall, ClientReply, MlflowVersion
from mlpatterns.redaction import redact
from mlpatterns.user_errors import MissingExtra, UserError

__all__ = ["MlflowError", "MlflowServer", "why"]

T = TypeVar("T")
LONGEST = 500  # characters of the server's error text
PATIENCE = 10.0  # seconds for an answer, or for the next part of a file
START = 60.0  # seconds for the client process to import MLflow
RATE = 100_000  # bytes per second that an upload must reach
LOOK = 0.5  # seconds between two checks of the downloaded files
TIMEOUT = "MLFLOW_HTTP_REQUEST_TIMEOUT"
# Defaults for variables that the user has not set: MLflow gives up on a server that is down in seconds, not after
# minutes of retries, and sends no telemetry.
ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    TIMEOUT: f"{PATIENCE:g}",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


class MlflowError(UserError):
    """The server does not answer, or returns an error. `reason` is the end of the error text, and `code` is MLflow's
    error code, or empty."""

    def __init__(self, sentence: str, reason: str, code: str = "") -> None:
        super().__init__(sentence)
        self.reason, self.code = reason, code


class MlflowServer:
    """The server at `uri`. A `with` statement ends the client process. Do not use it in several threads at once.

    An answer may take `PATIENCE` seconds, or the seconds in the user's MLFLOW_HTTP_REQUEST_TIMEOUT. A download may take
    as long for each part of a mebibyte that MLflow writes to disk. After an answer that took too long, every method
    raises.

    Args:
        purpose: the action that needs MLflow, for the error text if MLflow is not installed.

    Attributes:
        before: the beginning of every error text.

    Raises:
        MissingExtra: mlflow-skinny is not installed.
        MlflowError: from every method: the server does not answer or returns an error, or `uri` is not that of an
            MLflow server.
    """

    def __init__(self, uri: str, purpose: str) -> None:
        if find_spec("mlflow") is None:
            raise MissingExtra(purpose, "mlflow")
        self.uri, self.before, self._unread, self._given_up = uri, "", b"", False
        environ = {**ENVIRONMENT, **os.environ}
        self._patience = _seconds(environ[TIMEOUT])
        self._process = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-m", "mlpatterns.model_db.mlflow_client", uri],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ, bufsize=0,
        )  # fmt: skip
        try:
            self._reply(START, None)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Kills the client process, also during a call."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def version(self, name: str, *, alias: str | None = None, number: str | None = None) -> MlflowVersion:
        """The version that an alias names, or the version with a number."""
        return msgspec.convert(self._ask("version", name=name, alias=alias, number=number), MlflowVersion)

    def artifacts(self, root: str, folder: str | None) -> list[ArtifactFile]:
        """The files and folders in a folder of artifacts. `folder` is relative to the URI `root`; None means `root`."""
        return msgspec.convert(self._ask("artifacts", root=root, folder=folder), list[ArtifactFile])

    def download(self, root: str, path: str, target: Path) -> Path:
        """Downloads an artifact file into the folder `target`, and returns its path there."""
        self._send(ClientCall("download", {"root": root, "path": path, "target": str(target)}))
        return Path(str(self._reply(self._patience, target)))

    def begin_run(self, experiment: str) -> str:
        """The id of a new run of an experiment. The experiment is created if it does not exist."""
        return str(self._ask("begin_run", experiment=experiment))

    def log_parameter(self, run_id: str, name: str, value: str) -> None:
        self._ask("log_parameter", run_id=run_id, name=name, value=value)

    def log_metric(self, run_id: str, name: str, value: float, step: int) -> None:
        self._ask("log_metric", run_id=run_id, name=name, value=value, step=step)

    def set_tag(self, run_id: str, name: str, value: str) -> None:
        self._ask("set_tag", run_id=run_id, name=name, value=value)

    def log_file(self, run_id: str, file: Path, folder: str) -> None:
        """Uploads a file into a folder of a run's artifacts. A large file has more time, by its size and `RATE`."""
        self._send(ClientCall("log_file", {"run_id": run_id, "file": str(file), "folder": folder}))
        self._reply(self._patience + file.stat().st_size / RATE, None)

    def end_run(self, run_id: str, status: str) -> None:
        """Records that a run has ended, with the status FINISHED or FAILED."""
        self._ask("end_run", run_id=run_id, status=status)

    def _ask(self, method: str, **arguments: Any) -> Any:
        self._send(ClientCall(method, arguments))
        return self._reply(self._patience, None)

    def _send(self, call: ClientCall) -> None:
        if self._given_up:
            raise self._error("it did not answer before")
        stdin = self._process.stdin
        assert stdin is not None
        with suppress(BrokenPipeError):  # the process has ended; `_reply` raises the error
            stdin.write(msgspec.json.encode(call) + b"\n")

    def _reply(self, seconds: float, folder: Path | None) -> Any:
        """The value of the next reply. The time limit of `seconds` restarts whenever a file in `folder` changes."""
        line = self._line(seconds, folder)
        if not line:
            raise self._error("MLflow's client ended; its output above says why")
        reply = msgspec.json.decode(line, type=ClientReply)
        if reply.errors:
            raise self._error(why(reply.errors), reply.code)
        return reply.value

    def _line(self, seconds: float, folder: Path | None) -> bytes:
        stdout = self._process.stdout
        assert stdout is not None
        until, seen = time.monotonic() + seconds, _state(folder)
        while b"\n" not in self._unread:
            if time.monotonic() >= until:
                self._given_up = True
                self._process.kill()
                raise self._error(f"it did not answer in {seconds:g} s")
            if select.select([stdout], [], [], min(LOOK, seconds))[0]:
                content = os.read(stdout.fileno(), 1 << 16)
                if not content:
                    return b""
                self._unread += content
            elif (state := _state(folder)) != seen:
                until, seen = time.monotonic() + seconds, state
        line, _, self._unread = self._unread.partition(b"\n")
        return line

    def _error(self, reason: str, code: str = "") -> MlflowError:
        server = f"the MLflow server at {redact(self.uri)}"
        return MlflowError(f"{self.before}{server} cannot be used: {reason}", reason, code)


def why(errors: Sequence[str]) -> str:
    """The first sentence of the first cause, because the rest repeats the URL and the client's own objects.

    Args:
        errors: the texts of an exception and of its causes, the first cause last.
    """
    first = re.split(r"\.\s+(?=[A-Z])", " ".join(errors[-1].split()), maxsplit=1)[0]
    return redact(first)[:LONGEST]


def _seconds(text: str) -> float:
    """The user's timeout; `PATIENCE` if it is not a number, which MLflow's client reports."""
    try:
        return float(text)
    except ValueError:
        return PATIENCE


def _state(folder: Path | None) -> frozenset[tuple[Path, int, int]]:
    """The path, size and time of change of each file in a folder, to notice when a file is written."""
    found = set()
    for path in folder.rglob("*") if folder is not None else ():
        try:
            state = path.stat()
        except FileNotFoundError:  # renamed meanwhile
            continue
        found.add((path, state.st_size, state.st_mtime_ns))
    return frozenset(found)
