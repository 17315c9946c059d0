"""MLflow's own client, as this project uses it: told of nobody else, patient for seconds, its errors one sentence."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from mlpatterns.errors import MissingExtra, UserError
from mlpatterns.redaction import redact

__all__ = ["environment", "opened", "told", "why"]

T = TypeVar("T")
LONGEST = 500  # characters of what went wrong
# Unless the user says otherwise: a server that is down is known in seconds, not after minutes of trying; and nobody but
# the server is told of the run.
OURS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


@contextmanager
def environment() -> Iterator[None]:
    """OURS while MLflow's client is in use: it reads them from the environment at each request."""
    added = {name: value for name, value in OURS.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


def opened(uri: str, purpose: str) -> Any:
    """A client of the server at `uri`; it does not ask anything yet.

    Raises:
        MissingExtra: without mlflow-skinny; `purpose` is what needs it.
        UserError: `uri` is no server's.
    """
    try:
        from mlflow import MlflowClient
    except ImportError as error:
        raise MissingExtra(purpose, "mlflow") from error
    return told(uri, lambda: MlflowClient(tracking_uri=uri, registry_uri=uri))


def told(uri: str, ask: Callable[[], T], before: str = "") -> T:
    """What `ask` returns.

    Raises:
        UserError: the server does not answer, or refuses; `before` begins the sentence.
    """
    from mlflow.exceptions import MlflowException

    try:
        return ask()
    except (MlflowException, OSError) as error:
        raise UserError(f"{before}the MLflow server at {redact(uri)} cannot be used: {why(error)}") from error


def why(error: BaseException) -> str:
    """The first sentence of the first cause: what is around it repeats the URL and the client's own objects."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    first = re.split(r"\.\s+(?=[A-Z])", " ".join(str(error).split()), maxsplit=1)[0]
    return redact(first)[:LONGEST]
