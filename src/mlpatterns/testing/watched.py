"""Runs a monitor on batches of rows, one window for each batch; and receives its alerts with a webhook."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import numpy as np
from msgspec.structs import replace

from mlpatterns.context import Context
from mlpatterns.ids import new_id
from mlpatterns.metadata import Array
from mlpatterns.predictor import InferenceRequest, Predictor
from mlpatterns.runtime import running
from mlpatterns.runtime.app import PieceRuntime
from mlpatterns.server_process import process
from mlpatterns.settings import load_settings, sqlite_url
from mlpatterns.stores.log import LogStore, Record
from mlpatterns.stores.monitor import MonitorStore, Window

__all__ = ["Hook", "heard", "heard_of", "iris_rows", "watched"]

log = logging.getLogger("mlpatterns")

BEGAN = 1_700_000_000.0  # when the first window begins
ROWS = 20  # in one request
PACE = 0.2  # seconds between requests to a server


async def watched(monitor: Predictor, batches: Iterable[Array], *, interval: float = 60.0) -> list[Window]:
    """The windows that the program of `monitor` makes of `batches`, one for each batch, oldest first.

    The model predicts each batch. The records are written to a log, with a time of one window for each batch, and the
    program then reads the log.

    Args:
        monitor: a `Monitor`; its log and its store are temporary ones.
        batches: rows for the one input of the model, [rows, columns].
        interval: the interval of the monitor, in seconds.
    """
    with TemporaryDirectory() as folder, _unprinted():
        settings = replace(
            load_settings().settings, control="memory://", alert_url=None,
            log=sqlite_url(Path(folder) / "log.db"), monitor=sqlite_url(Path(folder) / "monitor.db"),
        )  # fmt: skip
        async with running(monitor, settings=settings) as app:
            runtime = PieceRuntime(app, monitor, monitor.name)
            log: LogStore = await app.store(LogStore, settings.log_url)  # type: ignore[type-abstract]
            for number, rows in enumerate(batches):
                await log.write(await _answered(monitor, rows, BEGAN + 1.001 * interval * number))
            for program in monitor.programs:
                await program.look(runtime)  # type: ignore[attr-defined]
            store: MonitorStore = await app.store(MonitorStore, settings.monitor_url)  # type: ignore[type-abstract]
            return list(reversed(await store.windows(monitor.name, limit=1000)))


@contextmanager
def _unprinted() -> Iterator[None]:
    """Adds a handler that prints nothing, because alerts are expected here and Python would print them otherwise."""
    handler = logging.NullHandler()
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)


async def _answered(monitor: Predictor, rows: Array, at: float) -> list[Record]:
    records, name = [], monitor.metadata.inputs[0].name
    for begin in range(0, len(rows), ROWS):
        asked = np.asarray(rows[begin : begin + ROWS], np.float32)
        context = Context(new_id(), purpose="probe")  # logs ignore probes; the record is made here instead
        answer = await monitor.predict(InferenceRequest({name: asked}, context))
        outputs = {key: value.tolist() for key, value in answer.outputs.items()}
        records.append(Record(
            context.prediction_id, at, monitor.name, "done", 0.001, answer.model_name, answer.model_version,
            inputs={name: [[None if np.isnan(cell) else cell for cell in row] for row in asked.tolist()]},
            outputs=outputs,
        ))  # fmt: skip
    return records


def iris_rows(count: int, seed: int = 0, *, longer: float = 0.0, stuck: bool = False, mixed: int = 0) -> Array:
    """Rows of Fisher's iris data, drawn with replacement, float32 [count, 4]: like the training data of a model.

    Args:
        count: the number of rows.
        seed: the same seed draws the same rows.
        longer: centimetres to add to the length of all sepals.
        stuck: whether all petals are 0.2 cm wide.
        mixed: the number of rows that are no irises: the values of each column are shuffled separately.

    Raises:
        MissingExtra: scikit-learn is not installed.
    """
    x = _irises()
    drawn: Array = x[np.random.default_rng(seed).integers(0, len(x), count)]
    for column in range(drawn.shape[1] if mixed else 0):
        drawn[:mixed, column] = np.random.default_rng(column).permutation(drawn[:mixed, column])
    drawn[:, 0] += longer
    drawn[:, 3] = 0.2 if stuck else drawn[:, 3]
    return drawn


@cache
def _irises() -> Array:
    from mlpatterns.training.datasets import iris

    return iris().x


class Hook:
    """A webhook that stores what it receives.

    Attributes:
        url: its address.
        bodies: the JSON bodies that were posted to it, in order.
        statuses: the statuses of its next answers, in order; after them it answers 204.
    """

    def __init__(self, statuses: Sequence[int] = ()) -> None:
        self.url, self.bodies, self.statuses = "", list[Any](), list(statuses)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers one POST and closes the connection."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            length = int(head.partition("content-length:")[2].partition("\r\n")[0])
            self.bodies.append(msgspec.json.decode(await reader.readexactly(length)))
            status = self.statuses.pop(0) if self.statuses else 204
            writer.write(f"HTTP/1.1 {status} -\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode())
            await writer.drain()
        finally:
            writer.close()


@asynccontextmanager
async def heard(*statuses: int) -> AsyncIterator[Hook]:
    """A webhook on a free port of this host, for the setting `alert_url`.

    Args:
        statuses: the statuses of its first answers, in order; after them it answers 204.
    """
    hook = Hook(statuses)
    server = await asyncio.start_server(hook.answer, "127.0.0.1", 0)
    async with server:
        hook.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/alerts"
        yield hook


async def heard_of(source: str, tables: Iterable[Array]) -> tuple[list[Any], dict[str, Any]]:
    """Serves an app with temporary stores and posts `tables` to it, one after another, until its webhook gets an alert.
    Returns the bodies that the webhook got, and the newest window of `/drift`.

    Args:
        source: Python code that defines `app`; `serve` is already imported.
        tables: arrays [rows, columns]; each is one request.
    """
    with TemporaryDirectory() as folder:
        file = Path(folder) / "served.py"
        file.write_text(f"from mlpatterns import serve\n{source}\n", encoding="utf-8")
        stores = {
            f"MLPATTERNS_{name}": sqlite_url(Path(folder) / f"{name}.db") for name in ("LOG", "MONITOR", "CONTROL")
        }
        async with heard() as hook, process(file, environ=stores | {"MLPATTERNS_ALERT_URL": hook.url}) as server:
            for rows in tables:
                await server.http.post("/predict", json={"data": rows.tolist()})
                await asyncio.sleep(PACE)
                if hook.bodies:
                    break
            answer = await server.http.get("/drift", params={"limit": 1})
        windows = answer.json().get("windows", []) if answer.status_code == 200 else []
        return hook.bodies, windows[0] if windows else {}
