"""Builds the table of routes for all APIs of an app."""

from __future__ import annotations

from collections.abc import Mapping

from mlpatterns.metrics import ProcessMetrics
from mlpatterns.runtime import AppRuntime
from mlpatterns.server.answers import Answers
from mlpatterns.server.auth import Gate
from mlpatterns.server.buffers import Buffers
from mlpatterns.server.health import HealthFace
from mlpatterns.server.hosting import Hosted, loaded
from mlpatterns.server.metrics import metrics_handler
from mlpatterns.server.oip.management import Management, add_management
from mlpatterns.server.oip.rest import add_oip
from mlpatterns.server.operations import add_operations
from mlpatterns.server.pages.docs_page import docs_handler
from mlpatterns.server.pages.openapi import Documented, openapi_handler
from mlpatterns.server.routes import Routes
from mlpatterns.server.simple_api import JOB, SimpleApi

__all__ = ["faces", "watching"]


def faces(
    hosted: Mapping[str, Hosted],
    runtime: AppRuntime,
    buffers: Buffers,
    health: HealthFace,
    management: Management,
    *,
    answers: Answers,
    several: bool,
    gate: Gate,
) -> Routes:
    """All routes of an app. The simple API is at the root, or at `/models/NAME` if the app has `several` models.

    Args:
        gate: tells the documents whether users need credentials, and whether commands are on.
    """
    metrics = management.metrics
    routes = Routes(metrics)
    simple = {name: SimpleApi(model, runtime, buffers, answers) for name, model in hosted.items()}
    for name, face in simple.items():
        prefix = f"/models/{name}" if several else ""
        for path, (method, handler) in face.routes().items():
            routes.add(method, prefix + path, handler)
            if several:
                routes.elsewhere[path] = f"this server has several models: ask /models/NAME{path}; /docs names them"
    _watch(routes, health, metrics, answers)
    add_oip(routes, hosted, runtime, buffers, health)
    add_management(routes, management, buffers, hosted)
    ignored = runtime.settings.extra_columns == "ignore"
    documented = Documented(
        hosted, routes, several=several, secured=gate.secured, commands=gate.commands, answers=answers,
        ignore_extra=ignored,
    )  # fmt: skip
    routes.add("GET", "/openapi.json", openapi_handler(documented))
    for path in ("/docs", "/"):
        # Open, because a browser sends no key when it opens a page. The page has a field for the key, and its script
        # sends the key with each request.
        routes.add("GET", path, docs_handler(documented), access="open")
    # Operations come last, because they take the short paths that no other route has. They belong to the predictors
    # that build() made, so `loaded` leaves out the Limit around each.
    documented.operations = add_operations(routes, loaded(hosted), runtime, buffers)
    for mapped in documented.operations:
        if mapped.operation.name == JOB and mapped.method == "GET":
            simple[mapped.model].job_path = mapped.paths[-1].removesuffix("{id}")
    return routes


def watching(health: HealthFace, metrics: ProcessMetrics) -> Routes:
    """The routes of an app that only runs programs: health and metrics."""
    routes = Routes(metrics)
    _watch(routes, health, metrics, Answers())
    return routes


def _watch(routes: Routes, health: HealthFace, metrics: ProcessMetrics, answers: Answers) -> None:
    health_handler = health.health(answers.health)
    for path, handler in (("/health", health_handler), ("/health/live", health.live), ("/health/ready", health.ready)):
        routes.add("GET", path, handler, access="open")
    routes.add("GET", "/metrics", metrics_handler(metrics))
