"""The step `evaluate`: the built files, each served by a process and queried over the Open Inference Protocol."""

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
AT_ONCE = 100  # images of a request when throughput and accuracy are measured
SINGLE = 200  # requests of one image, whose time is measured; the first ones are not
WARM = 20


class ServedScores(Struct, frozen=True):
    """A served file: its accuracy over all test images, and milliseconds for a request of one image."""

    accuracy: float
    p50_ms: float
    p99_ms: float
    images_per_second: float


class Evaluation(Struct, frozen=True):
    """Both files, served."""

    float32: ServedScores
    int8: ServedScores


def evaluate(prepared: Path, built: Path, work: Path) -> None:
    """Serves and queries both files; `work` gets ``evaluation.json``.

    Raises:
        UserError: a server did not start, or did not answer.
        MissingExtra: without httpx, which waits for the server.
    """
    test = load_images(prepared, "test")
    record = Evaluation(*(asyncio.run(_served((built / name).absolute(), test)) for name in (MODEL, INT8)))
    (work / RECORD).write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=2))


def load_evaluated(folder: Path) -> Evaluation:
    """The record of a finished `evaluate`."""
    return msgspec.json.decode((folder / RECORD).read_bytes(), type=Evaluation)


async def _served(model: Path, test: Images) -> ServedScores:
    from mlpatterns.server_process import process

    # Its own home and folder: nothing that the user has set for another server is meant for this one.
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
    """The seconds that an answer takes."""
    began = perf_counter()
    await _ask(remote, images)
    return perf_counter() - began
