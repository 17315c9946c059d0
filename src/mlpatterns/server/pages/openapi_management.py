"""What Triton's clients ask beside inference, as OpenAPI operations: configuration, statistics, the repository."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from mlpatterns.server.pages.openapi_components import component, object_of
from mlpatterns.server.pages.openapi_operations import Subject
from mlpatterns.server.pages.openapi_parts import ALWAYS, EVERYWHERE, Entry, done, identifier, operation_of
from mlpatterns.server.pages.openapi_schemas import Schema
from mlpatterns.server.pages.openapi_server import SERVER

__all__ = ["management_entries", "management_schemas", "repository_entries"]

READING = (*EVERYWHERE, 404)
WRITING = (*READING, 408, 415)
CHANGING = (*WRITING, 409)
TEXT: Schema = {"type": "string"}
COUNT: Schema = {"type": "integer", "minimum": 0}


def management_schemas() -> dict[str, Schema]:
    """What these routes take and give, by name."""
    tensor = object_of(name=TEXT, data_type={"type": "string", "pattern": "^TYPE_"}, dims=_list({"type": "integer"}))
    duration = object_of(count=COUNT, ns=COUNT)
    parts = ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output")
    one = object_of(
        name=TEXT, version=TEXT, last_inference=COUNT, inference_count=COUNT, execution_count=COUNT,
        inference_stats=object_of(**dict.fromkeys(parts, duration)), batch_stats=_list({"type": "object"}),
    )  # fmt: skip
    state = {"enum": ["READY", "UNAVAILABLE", "LOADING"]}
    return {
        "ModelConfig": object_of(
            name=TEXT, platform=TEXT, backend=TEXT, max_batch_size=COUNT, input=_list(tensor), output=_list(tensor)
        ),
        "ModelStatistics": object_of(model_stats=_list(one)),
        "RepositoryIndex": _list(object_of(name=TEXT, version=TEXT, state=state, reason=TEXT)),
        "RepositoryIndexRequest": {"type": "object", "properties": {"ready": {"type": ["boolean", "null"]}}},
        "RepositoryRequest": {"type": "object", "properties": {"parameters": {"type": ["object", "null"]}}},
    }


def management_entries(subject: Subject) -> Iterator[Entry]:
    """Of one model."""
    base, known = f"/v2/models/{subject.name}", subject.described.version if subject.described else "1"
    for suffix, title, text, schema in (
        ("/config", "Configuration (Triton)", "What perf_analyzer and Triton's examples read.", "ModelConfig"),
        ("/stats", "Statistics (Triton)", "Since the server started, over all workers.", "ModelStatistics"),
    ):  # fmt: skip
        for version in ("", "/versions/{version}"):
            operation = operation_of(subject.name, title, text, done(component(schema), ALWAYS), READING)
            if version:
                parameter = {"name": "version", "in": "path", "required": True, "schema": TEXT, "example": known}
                operation["parameters"] = [parameter, *operation["parameters"]]
            operation["operationId"] = identifier(subject.key, f"v2{version}{suffix}", "GET")
            served = f"{base}{version.replace('{version}', known)}{suffix}"
            yield Entry("GET", f"/v2/models/{quote(subject.name)}{version}{suffix}", served, operation)
    for change, text in (
        ("load", "Builds and starts the model anew, and stops the one before when its last request has ended."),
        ("unload", "Refuses new requests with 503, lets those under way end, and stops the model."),
    ):
        path = f"/v2/repository/models/{subject.name}/{change}"
        title = f"{change.capitalize()} the model (Triton)"
        operation = operation_of(subject.name, title, text, done({"type": "object"}, ALWAYS), CHANGING)
        yield _posted(path, operation, subject.key, "RepositoryRequest")


def repository_entries() -> Iterator[Entry]:
    """Of all models."""
    text = "Counts and times of all models that are loaded, over all workers."
    every = operation_of(SERVER, "Statistics (Triton)", text, done(component("ModelStatistics"), ALWAYS), EVERYWHERE)
    every["operationId"] = "v2_models_stats_get"
    yield Entry("GET", "/v2/models/stats", "/v2/models/stats", every)
    text = "All models with their state; with `ready` those alone that are."
    listed = operation_of(SERVER, "Models (Triton)", text, done(component("RepositoryIndex"), ALWAYS), WRITING)
    yield _posted("/v2/repository/index", listed, "", "RepositoryIndexRequest")


def _posted(path: str, operation: Mapping[str, Any], key: str, body: str) -> Entry:
    content = {"application/json": {"schema": component(body)}}
    named = {"operationId": identifier(key, path, "POST"), "requestBody": {"required": False, "content": content}}
    return Entry("POST", quote(path), path, {**operation, **named})


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}
