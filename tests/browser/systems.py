"""A gallery of systems of every shape that the index page must show, under the names of real ones."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from browser.serving import HOSTILE
from mlpatterns import FanOut, Pipeline, PredictionCache
from mlpatterns.catalog import systems
from mlpatterns.gallery.app import Gallery
from mlpatterns.metadata import Array, TensorSpec
from mlpatterns.model_db.api.app import ModelDB
from mlpatterns.models.python.python import PythonModel
from mlpatterns.models.remote.remote import RemoteModel
from mlpatterns.predictor import Predictor
from mlpatterns.server.app import App, serve
from mlpatterns.server.servable import PlainApp
from mlpatterns.service import Service
from mlpatterns.settings import Settings
from unit.server.doubles import iris
from unit.server.operations_piece import OperationsPiece

__all__ = ["NOBODY", "gallery", "png", "started"]

NOBODY = "http://127.0.0.1:9"  # the discard port: nothing listens there


def gallery(home: Path = Path("nowhere")) -> Gallery:
    """One model, a fan-out, keys, a picture, several models, one that is not ready, and a service that is no model.

    Args:
        home: of the service, when it starts.
    """
    apps: dict[str, App | PlainApp] = {
        "model_db": PlainApp(ModelDB(Settings(home=home))),
        "web_single": serve(iris),
        "horizontal_microservice": serve(fan_out),
        "prediction_cache": serve(lambda: PredictionCache(OperationsPiece(keyed()))),
        "synchronous": serve(pictures),
        "condition_based": serve(lambda: {"first": iris(name="first"), "other": iris(name="other")}),
        "prep_pred": serve(lambda: Pipeline(Service("prep", RemoteModel(NOBODY, "prep")), iris(), name="prep_pred")),
    }
    return Gallery(apps, systems())


def fan_out() -> Predictor:
    """Three parts that may run alone; two of them are the same model."""
    shared = iris(name="iris_versicolor")
    parts = {"setosa": Service("setosa", iris(name="iris_setosa")), "versicolor": Service("versicolor", shared)}
    return FanOut({**parts, "again": shared}, name="horizontal_microservice")


def keyed() -> PythonModel:
    """Takes a key; one of its labels is hostile."""

    def predict(_: None, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        return {"scores": np.tile(np.array([0.25, 0.75], np.float32), (len(inputs["key"]), 1))}

    return PythonModel(lambda: None, predict, inputs=[TensorSpec("key", "BYTES", (-1, 1), content="key")],
                       outputs=[TensorSpec("scores", "FP32", (-1, 2))], labels=("no", HOSTILE),
                       sample={"key": np.array([[b"0042"]], dtype=object)}, name="keyed", digest="d")  # fmt: skip


def pictures() -> PythonModel:
    """Takes a picture and answers with the number of its bytes."""

    def predict(_: None, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        return {"bytes": np.array([[len(file)] for file in inputs["picture"].flat], np.int64)}

    inputs, outputs = TensorSpec("picture", "BYTES", (-1, 1), content="image"), TensorSpec("bytes", "INT64", (-1, 1))
    sample = {"picture": np.array([[png((90, 120, 200))]], dtype=object)}
    return PythonModel(lambda: None, predict, inputs=[inputs], outputs=[outputs], sample=sample, name="pictures")


def png(colour: tuple[int, int, int], side: int = 32) -> bytes:
    """A square of one colour, as a PNG file."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\0" + bytes(colour) * side) * side
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def started(served: Gallery) -> Any:
    """The gallery with the lifespan that our own server gives it, for a server that knows ASGI alone."""

    async def outer(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await served(scope, receive, send)
            return
        await receive()
        async with served.running():
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})

    return outer
