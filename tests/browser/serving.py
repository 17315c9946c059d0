"""An app on a port of its own, in a thread, and the apps that the pages are tested with."""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping
from time import monotonic, sleep
from typing import Any

import numpy as np
import uvicorn

from mlpatterns import FanOut, Pipeline
from mlpatterns.metadata import Array, TensorSpec
from mlpatterns.models.python.python import PythonModel
from mlpatterns.predictor import Predictor

__all__ = ["HOSTILE", "Server", "iris", "mounted"]

COLUMNS = ("sepal_length", "sepal_width", "petal_length", "petal_width")
HOSTILE = "<script>alert(1)</script>"


def iris(name: str = "iris") -> Predictor:
    """A scaling in front of two classifiers; one of their three labels is hostile."""
    rows = TensorSpec("rows", "FP32", (-1, 4), fields=COLUMNS)

    def scale(_: None, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        return {"rows": inputs["rows"] / np.float32(10)}

    def classify(_: None, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        return {"scores": np.tile(np.array([0.75, 0.125, 0.125], np.float32), (len(inputs["rows"]), 1))}

    def classifier(name: str) -> PythonModel:
        scores, labels = TensorSpec("scores", "FP32", (-1, 3)), ("setosa", "versi'color", f'"{HOSTILE}')
        return PythonModel(lambda: None, classify, inputs=[rows], outputs=[scores], labels=labels, name=name)

    sample = {"rows": np.array([[5.1, 3.5, 1.4, 0.2]], np.float32)}
    scaling = PythonModel(lambda: None, scale, inputs=[rows], outputs=[rows], sample=sample, name="scale")
    return Pipeline(scaling, FanOut({"svc": classifier("svc"), "forest": classifier("forest")}), name=name)


def mounted(app: Any, prefix: str) -> Any:
    """`app` below `prefix`, as ASGI has it: the path stays whole, `root_path` says what is dealt with."""

    async def outer(scope: Any, receive: Any, send: Any) -> None:
        await app(scope if scope["type"] == "lifespan" else {**scope, "root_path": prefix}, receive, send)

    return outer


class Server:
    """Serves `app` while it is entered; `url` is where."""

    def __init__(self, app: Any) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]})

    def __enter__(self) -> Server:
        self._thread.start()
        until = monotonic() + 10
        while not self._server.started:
            if not self._thread.is_alive() or monotonic() > until:
                self.__exit__()
                raise AssertionError("the server did not start")
            sleep(0.005)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(10)
        self._socket.close()
