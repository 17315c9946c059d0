"""OpenAPI operations of the routes that all models share: health, metrics, documents and the server over OIP. Also of
the routes that Triton's clients use besides inference: configuration, statistics and the repository."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

from mlpatterns.server.pages.openapi_operations import VERSIONS, Subject, protocol_entry
from mlpatterns.server.pages.openapi_parts import (
    EVERYWHERE,
    OpenapiOperation,
    component,
    first_words,
    identifier,
    ok_response,
    operation_of,
    text_of,
)
from mlpatterns.server.pages.openapi_schemas import Schema, list_of, object_of

__all__ = ["SERVER", "management_entries", "management_schemas", "server_entries"]

SERVER = "the server"  # the tag of operations that belong to no model
READING = (*EVERYWHERE, 404)
WRITING = (*READING, 408, 415)
CHANGING = (*WRITING, 409)
TEXT: Schema = {"type": "string"}
COUNT: Schema = {"type": "integer", "minimum": 0}


def server_entries(health: Callable[..., Any] | None = None) -> Iterator[OpenapiOperation]:
    """Yields the operations of health, metrics, the documents, the server over OIP, and the repository.

    Args:
        health: the function that makes the app's own answer of `/health`, if there is one.
    """
    live = ok_response(object_of(live={"type": "boolean"}))
    ready = ok_response(object_of(ready={"type": "boolean"}))
    about = ok_response(object_of(name=TEXT, version=TEXT, extensions=list_of(TEXT)))
    page, exposed = text_of("text/html"), text_of("text/plain")
    own = ok_response({} if health else object_of(health={"const": "ok"}))
    table: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
        ("/health", "Health", first_words(health) or "The process answers.", own),
        ("/health/live", "Live or not", "The process answers.", live),
        ("/health/ready", "Ready or not", "All models are loaded and the server is not stopping; else 503.", ready),
        ("/v2", "The server (OIP)", "Open Inference Protocol: name, version and extensions.", about),
        ("/v2/health/live", "Live or not (OIP)", "Open Inference Protocol.", live),
        ("/v2/health/ready", "Ready or not (OIP)", "Open Inference Protocol; 503 when not.", ready),
        ("/metrics", "Metrics", "Prometheus text or OpenMetrics, for all workers.", exposed),
        ("/openapi.json", "This document", "OpenAPI 3.1.", ok_response({"type": "object"})),
        ("/docs", "The documentation page", "Needs no internet.", page),
        ("/", "The documentation page", "The same as /docs.", page),
    )
    for path, title, text, answer in table:
        operation = operation_of(SERVER, title, text, answer, EVERYWHERE)
        operation["operationId"] = identifier("", path if path != "/" else "/index", "GET")
        yield OpenapiOperation("GET", path, path, operation)
    yield from _repository()


# ---- Triton's clients -----------------------------------------------------------------------------------------------


def management_schemas() -> dict[str, Schema]:
    """The schemas of the requests and responses for Triton's clients, by name."""
    tensor = object_of(name=TEXT, data_type={"type": "string", "pattern": "^TYPE_"}, dims=list_of({"type": "integer"}))
    duration = object_of(count=COUNT, ns=COUNT)
    parts = ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output")
    one = object_of(
        name=TEXT, version=TEXT, last_inference=COUNT, inference_count=COUNT, execution_count=COUNT,
        inference_stats=object_of(**dict.fromkeys(parts, duration)), batch_stats=list_of({"type": "object"}),
    )  # fmt: skip
    state = {"enum": ["READY", "UNAVAILABLE", "LOADING"]}
    return {
        "ModelConfig": object_of(
            name=TEXT, platform=TEXT, backend=TEXT, max_batch_size=COUNT, input=list_of(tensor), output=list_of(tensor)
        ),
        "ModelStatistics": object_of(model_stats=list_of(one)),
        "RepositoryIndex": list_of(object_of(name=TEXT, version=TEXT, state=state, reason=TEXT)),
        "RepositoryIndexRequest": {"type": "object", "properties": {"ready": {"type": ["boolean", "null"]}}},
        "RepositoryRequest": {"type": "object", "properties": {"parameters": {"type": ["object", "null"]}}},
    }


def management_entries(subject: Subject) -> Iterator[OpenapiOperation]:
    """The operations for one model."""
    for suffix, title, text, schema in (
        ("/config", "Configuration (Triton)", "What perf_analyzer and Triton's examples read.", "ModelConfig"),
        ("/stats", "Statistics (Triton)", "Since the server started, over all workers.", "ModelStatistics"),
    ):  # fmt: skip
        for version in VERSIONS:
            operation = operation_of(subject.name, title, text, ok_response(component(schema)), READING)
            yield protocol_entry(subject, "GET", version + suffix, operation)
    for change, text in (
        ("load", "Builds and starts the model again, and stops the old one when its last request has ended."),
        ("unload", "Refuses new requests with 503, lets those under way end, and stops the model."),
    ):
        path = f"/v2/repository/models/{subject.name}/{change}"
        title = f"{change.capitalize()} the model (Triton)"
        operation = operation_of(subject.name, title, text, ok_response({"type": "object"}), CHANGING)
        yield _posted(path, operation, subject.key, "RepositoryRequest")


def _repository() -> Iterator[OpenapiOperation]:
    """The operations for all models."""
    text = "Counts and times of all models that are loaded, over all workers."
    every = operation_of(SERVER, "Statistics (Triton)", text, ok_response(component("ModelStatistics")), EVERYWHERE)
    every["operationId"] = "v2_models_stats_get"
    yield OpenapiOperation("GET", "/v2/models/stats", "/v2/models/stats", every)
    text = "All models with their state; with `ready`, only those that are ready."
    listed = operation_of(SERVER, "Models (Triton)", text, ok_response(component("RepositoryIndex")), WRITING)
    yield _posted("/v2/repository/index", listed, "", "RepositoryIndexRequest")


def _posted(path: str, operation: Mapping[str, Any], key: str, body: str) -> OpenapiOperation:
    content = {"application/json": {"schema": component(body)}}
    named = {"operationId": identifier(key, path, "POST"), "requestBody": {"required": False, "content": content}}
    return OpenapiOperation("POST", quote(path), path, {**operation, **named})
