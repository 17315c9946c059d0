"""The step `evaluate`: serves each built file in a process and queries it over the Open Inference Protocol."""

from __future__ import annotations

import asyncio
from pathlib import Path
from time import perf_counter

import msgspec
import numpy as np
from msgspec import Struct

from mlpatterns.context import Context
from mlpatterns.metadata import Array
from mlpatterns.models.remote.remote import RemoteModel
from mlpatterns.predictor import InferenceRequest
from mlpatterns.registry.files import MODEL
from mlpatterns.runtime import running
from mlpatterns.training.cifar10.archive import Images
from mlpatterns.training.cifar10.build import INPUT, INT8, OUTPUT
from mlpatterns.training.cifar10.prepared import load_images

__all__ = ["Evaluation", "ServedScores", "evaluate", "load_evaluated"]

RECORD = "evaluation.json"
AT_ONCE = 100  # images per request when throughput and accuracy are measured
SINGLE = 200  # requests of one image whose latency is measured, after some that are not
WARM = 20


class ServedScores(Struct, frozen=True):
    """A served file: its accuracy over all test images, and the latency of a request of one image in milliseconds."""

    accuracy: float
    p50_ms: float
    p99_ms: float
    images_per_second: float


class Evaluation(Struct, frozen=True):
    """The scores of both served files."""

    float32: ServedScores
    int8: ServedScores


def evaluate(prepared: Path, built: Path, work: Path) -> None:
    """Serves and queries both files; writes ``evaluation.json`` to `work`.

    Raises:
        UserError: a server did not start, or did not answer.
        MissingExtra: httpx, which polls the server until it is ready, is not installed.
    """
    test = load_images(prepared, "test")
    record = Evaluation(*(asyncio.run(_served((built / name).absolute(), test)) for name in (MODEL, INT8)))
    (work / RECORD).write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=2))


def load_evaluated(folder: Path) -> Evaluation:
    """The record of a finished `evaluate`."""
    return msgspec.json.decode((folder / RECORD).read_bytes(), type=Evaluation)


async def _served(model: Path, test: Images) -> ServedScores:
    from mlpatterns.server_process import process

    # A separate home and working directory, so that the user's settings for other servers do not apply here.
    async with process(model, cwd=model.parent, environ={"MLPATTERNS_HOME": str(model.parent)}) as server:
        remote = RemoteModel(server.url, model.stem)
        async with running(remote):
            began = perf_counter()
            parts = [
                await _ask(remote, test.images[start : start + AT_ONCE])
                for start in range(0, len(test.images), AT_ONCE)
            ]
            speed = len(test.images) / (perf_counter() - began)
            right = np.concatenate(parts).argmax(axis=1) == test.labels
            times = [await _time(remote, test.images[row % len(test.images)][None]) for row in range(WARM + SINGLE)]
    p50, p99 = (1000 * float(value) for value in np.quantile(times[WARM:], (0.5, 0.99)))
    return ServedScores(float(right.mean()), p50, p99, speed)


async def _ask(remote: RemoteModel, images: Array) -> Array:
    request = InferenceRequest({INPUT: images.astype(np.float32)}, Context("evaluate", {}, None))
    return (await remote.predict(request)).outputs[OUTPUT]


async def _time(remote: RemoteModel, images: Array) -> float:
    """The latency of one request in seconds."""
    began = perf_counter()
    await _ask(remote, images)
    return perf_counter() - began
