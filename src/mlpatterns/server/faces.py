"""The faces of an app put together: which path leads where."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from mlpatterns.errors import NotStarted
from mlpatterns.metrics import MetricRegistry
from mlpatterns.predictor import Predictor
from mlpatterns.runtime import AppRuntime, leaves_first
from mlpatterns.server.exchange import JSON, Answer, Buffers, Call, encode
from mlpatterns.server.metrics import metrics_handler
from mlpatterns.server.routes import Routes
from mlpatterns.server.simple_api import Present, SimpleApi

__all__ = ["Served", "faces"]


class Served(Protocol):
    """What the faces need to know of the app."""

    @property
    def draining(self) -> bool: ...
    @property
    def present(self) -> Present | None: ...


def faces(
    app: Served, models: Mapping[str, Predictor], runtime: AppRuntime, buffers: Buffers, *, several: bool
) -> Routes:
    """All routes of an app. One model has the simple API at the root, each of several has it at `/models/NAME`."""
    routes = Routes(runtime.metrics)
    for name, model in models.items():
        simple = SimpleApi(model, runtime, buffers, app.present, runtime.settings.max_elements)
        prefix = f"/models/{name}" if several else ""
        for path, (method, handler) in simple.routes().items():
            routes.add(method, prefix + path, handler, public=path == "/health")
    health = Health(app, models)
    for path, handler in (("/health", health.health), ("/health/live", health.live), ("/health/ready", health.ready)):
        routes.add("GET", path, handler, public=True)
    if isinstance(runtime.metrics, MetricRegistry):
        routes.add("GET", "/metrics", metrics_handler(runtime.metrics))
    return routes


class Health:
    """Live: the process answers. Ready: every predictor below the roots knows its metadata."""

    def __init__(self, app: Served, models: Mapping[str, Predictor]) -> None:
        self._app, self._models = app, models

    async def health(self, call: Call) -> Answer:
        return Answer(b'{"health":"ok"}')

    async def live(self, call: Call) -> Answer:
        return Answer(b'{"live":true}')

    async def ready(self, call: Call) -> Answer:
        waiting = self.waiting()
        if not waiting:
            return Answer(b'{"ready":true}')
        text = "the server is stopping" if self._app.draining else f"not ready yet: {', '.join(waiting)}"
        return Answer(encode({"ready": False, "error": text}), (JSON, (b"retry-after", b"1")), 503)

    def waiting(self) -> list[str]:
        """The names of those that are not ready."""
        if self._app.draining:
            return sorted(self._models)
        names = []
        for predictor in leaves_first(*self._models.values()):
            try:
                _ = predictor.metadata
            except NotStarted:
                names.append(predictor.name)
        return sorted(set(names))
