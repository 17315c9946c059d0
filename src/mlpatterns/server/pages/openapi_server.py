"""What all models share, as OpenAPI operations: health, metrics, the documents themselves, the server over OIP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from mlpatterns.server.pages.openapi_components import object_of
from mlpatterns.server.pages.openapi_parts import (
    ALWAYS,
    EVERYWHERE,
    Entry,
    done,
    first_words,
    identifier,
    operation_of,
    text_of,
)

__all__ = ["SERVER", "server_entries"]

SERVER = "the server"  # the tag of what belongs to no model


def server_entries(health: Callable[..., Any] | None = None) -> Iterator[Entry]:
    """Health, metrics, the documents themselves and the server's OIP routes.

    Args:
        health: what gives the answer of `/health` a shape of the app's own.
    """
    live = done(object_of(live={"type": "boolean"}), ALWAYS)
    ready = done(object_of(ready={"type": "boolean"}), ALWAYS)
    named = {"name": {"type": "string"}, "version": {"type": "string"}}
    about = done(object_of(**named, extensions={"type": "array", "items": {"type": "string"}}), ALWAYS)
    page, exposed = text_of("text/html"), text_of("text/plain")
    table: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
        (
            "/health",
            "Health",
            first_words(health) or "The process answers.",
            done({} if health else object_of(health={"const": "ok"}), ALWAYS),
        ),
        ("/health/live", "Live or not", "The process answers.", live),
        ("/health/ready", "Ready or not", "All models are loaded and the server is not stopping; else 503.", ready),
        ("/v2", "The server (OIP)", "Open Inference Protocol: name, version and extensions.", about),
        ("/v2/health/live", "Live or not (OIP)", "Open Inference Protocol.", live),
        ("/v2/health/ready", "Ready or not (OIP)", "Open Inference Protocol; 503 when not.", ready),
        ("/metrics", "Metrics", "Prometheus text or OpenMetrics, for all workers.", exposed),
        ("/openapi.json", "This document", "OpenAPI 3.1.", done({"type": "object"}, ALWAYS)),
        ("/docs", "The documentation page", "Needs no internet.", page),
        ("/", "The documentation page", "The same as /docs.", page),
    )
    for path, title, text, answer in table:
        operation = operation_of(SERVER, title, text, answer, EVERYWHERE)
        operation["operationId"] = identifier("", path if path != "/" else "/index", "GET")
        yield Entry("GET", path, path, operation)
