"""What each route does, as OpenAPI operations: the simple API and OIP of one model, and what all models share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from msgspec import Struct

from mlpatterns.predictor import ModelMetadata
from mlpatterns.server.pages import openapi_schemas as schemas
from mlpatterns.server.pages.openapi_components import component, error_reference, object_of
from mlpatterns.server.pages.openapi_schemas import Schema

__all__ = ["SERVER", "Entry", "Subject", "model_entries", "server_entries"]

SERVER = "the server"  # the tag of what belongs to no model

ALWAYS = ("x-mlp-prediction-id",)
PROVENANCE = (*ALWAYS, "x-mlp-version", "x-mlp-arm", "x-mlp-cache", "x-mlp-degraded")

EVERYWHERE = (400, 405, 413, 500, 503, 504)
PREDICTING = (*EVERYWHERE, 404, 415, 429)
TIMEOUT = {"$ref": "#/components/parameters/Timeout"}
VERSION = "{version}"


class Entry(Struct, frozen=True):
    """One operation of the document.

    Attributes:
        path: as the document has it: percent-encoded, with `{parameters}`.
        served: a path as a request has it once decoded, by which the route is found.
    """

    method: str
    path: str
    served: str
    operation: dict[str, Any]


class Subject(Struct, frozen=True):
    """A model as the document sees it.

    Attributes:
        key: letters, digits and underscores that no other model has.
        described: None while the model is not ready.
        shaped: the answer of `/predict` has a shape of its own.
    """

    key: str
    name: str
    prefix: str
    described: ModelMetadata | None
    shaped: bool = False

    def reference(self, schema: str) -> Schema:
        """Of one of the model's schemas in the components; anything goes while the model is not known."""
        return {"$ref": f"#/components/schemas/{self.key}.{schema}"} if self.described else {}

    def schemas(self) -> dict[str, Schema]:
        """All that `reference` may name."""
        described = self.described
        if described is None:
            return {}
        primary = [spec for spec in described.outputs if spec.name == described.primary_output]
        found = {
            "Rows": schemas.rows(described.inputs[0]) if len(described.inputs) == 1 else {},
            "Prediction": schemas.prediction(primary[0]) if primary and not self.shaped else {},
            "Label": schemas.label_prediction(described.labels) if described.labels else {},
            "Labels": schemas.labels(described) if described.labels else {},
            "InferRequest": schemas.infer_request(described),
            "InferResponse": schemas.infer_response(described),
        }
        return {f"{self.key}.{name}": schema for name, schema in found.items()}


# ---- one model ----------------------------------------------------------------------------------------------------


def model_entries(subject: Subject) -> Iterator[Entry]:
    """The simple API and the OIP routes of one model."""
    yield from _simple(subject)
    yield from _protocol(subject)


def _simple(subject: Subject) -> Iterator[Entry]:
    rows = ("Predict", "the prediction of each row"), ("Label", "the label of each row")
    for (schema, what), suffix in zip(rows, ("/predict", "/predict/label"), strict=True):
        answer = "Prediction" if schema == "Predict" else schema
        note = _refusal(subject, labelled=schema == "Label")
        posted = _operation(subject, f"{schema} rows", note or f"Answers {what}: one row alone, several as a list.",
                            _ok(subject.reference(answer)), (*PREDICTING, 408))  # fmt: skip
        posted["requestBody"] = _rows_body(subject)
        yield _entry(subject, "POST", suffix, posted)
        test = suffix.replace("/predict", "/predict/test")
        yield _entry(subject, "GET", test, _operation(
            subject, f"{schema} the sample", note or f"As POST {suffix}, on the model's own sample.",
            _ok(subject.reference(answer)), PREDICTING))  # fmt: skip
    yield _entry(subject, "GET", "/metadata", _operation(
        subject, "What it takes and gives", "Types and shapes, with a sample and its prediction.",
        _ok(component("Metadata"), ALWAYS), PREDICTING))  # fmt: skip
    labelled = subject.described is None or bool(subject.described.labels)
    yield _entry(subject, "GET", "/label", _operation(
        subject, "The labels", "By their number in the prediction." if labelled else "This model has no labels: 404.",
        _ok(subject.reference("Labels"), ALWAYS), (*EVERYWHERE, 404)))  # fmt: skip


def _refusal(subject: Subject, *, labelled: bool) -> str:
    """Why the simple API cannot serve this model, or nothing."""
    described = subject.described
    if described is None:
        return "The model is not ready yet, so nothing more is known of it."
    if len(described.inputs) != 1:
        count = len(described.inputs)
        return f"Refused with 400: this model takes {count} inputs; use POST /v2/models/{subject.name}/infer."
    if labelled and not described.labels:
        return "Refused with 404: this model has no labels."
    return ""


def _rows_body(subject: Subject) -> dict[str, Any]:
    media: dict[str, Any] = {"schema": subject.reference("Rows")}
    described = subject.described
    if described is not None and len(described.inputs) == 1:
        found = schemas.row_examples(described)
        if found:
            media["examples"] = {name.replace(" ", "-"): {"summary": name, "value": v} for name, v in found.items()}
    return {"required": True, "content": {"application/json": media}}


def _protocol(subject: Subject) -> Iterator[Entry]:
    ready = object_of(name={"const": subject.name}, ready={"type": "boolean"})
    for version in ("", f"/versions/{VERSION}"):
        suffixes = {"": "Metadata (OIP)", "/ready": "Ready or not (OIP)", "/infer": "Infer (OIP)"}
        for suffix, title in suffixes.items():
            if suffix == "/infer":
                operation = _infer(subject, title)
            else:
                schema = ready if suffix else component("ModelMetadata")
                operation = _operation(subject, title, "Open Inference Protocol.", _ok(schema, ALWAYS),
                                       (*EVERYWHERE, 404))  # fmt: skip
            yield _protocol_entry(subject, "POST" if suffix == "/infer" else "GET", version + suffix, operation)


def _protocol_entry(subject: Subject, method: str, suffix: str, operation: dict[str, Any]) -> Entry:
    known = subject.described.version if subject.described else "1"
    if VERSION in suffix:
        parameter = {
            "name": "version", "in": "path", "required": True, "schema": {"type": "string"}, "example": known,
        }  # fmt: skip
        operation["parameters"] = [parameter, *operation["parameters"]]
    operation["operationId"] = _identifier(subject.key, "v2" + suffix.replace(VERSION, "version"), method)
    path = f"/v2/models/{quote(subject.name)}{suffix}"
    return Entry(method, path, f"/v2/models/{subject.name}{suffix.replace(VERSION, known)}", operation)


def _infer(subject: Subject, title: str) -> dict[str, Any]:
    text = "Open Inference Protocol, with its binary tensor extension: the JSON, then the raw tensors."
    binary = {"schema": {"type": "string", "format": "binary"}}
    length = {"name": "Inference-Header-Content-Length", "in": "header", "schema": {"type": "integer", "minimum": 0},
              "description": "The length of the JSON in front of binary tensors."}  # fmt: skip
    media: dict[str, Any] = {"schema": subject.reference("InferRequest")}
    example = schemas.infer_example(subject.described) if subject.described else None
    if example:
        media["example"] = example
    ok = _ok(subject.reference("InferResponse"))
    ok["content"]["application/octet-stream"] = binary
    operation = _operation(subject, title, text, ok, (*PREDICTING, 408))
    operation["parameters"] = [*operation["parameters"], length]
    content = {"application/json": media, "application/octet-stream": binary}
    operation["requestBody"] = {"required": True, "content": content}
    return operation


# ---- what all models share ----------------------------------------------------------------------------------------


def server_entries() -> Iterator[Entry]:
    """Health, metrics, the documents themselves and the server's OIP routes."""
    live = _ok(object_of(live={"type": "boolean"}), ALWAYS)
    ready = _ok(object_of(ready={"type": "boolean"}), ALWAYS)
    named = {"name": {"type": "string"}, "version": {"type": "string"}}
    about = _ok(object_of(**named, extensions={"type": "array", "items": {"type": "string"}}), ALWAYS)
    page, exposed = _media("text/html"), _media("text/plain")
    table: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
        ("/health", "Health", "The process answers.", _ok(object_of(health={"const": "ok"}), ALWAYS)),
        ("/health/live", "Live or not", "The process answers.", live),
        ("/health/ready", "Ready or not", "All models are loaded and the server is not stopping; else 503.", ready),
        ("/v2", "The server (OIP)", "Open Inference Protocol: name, version and extensions.", about),
        ("/v2/health/live", "Live or not (OIP)", "Open Inference Protocol.", live),
        ("/v2/health/ready", "Ready or not (OIP)", "Open Inference Protocol; 503 when not.", ready),
        ("/metrics", "Metrics", "Prometheus text or OpenMetrics, for all workers.", exposed),
        ("/openapi.json", "This document", "OpenAPI 3.1.", _ok({"type": "object"}, ALWAYS)),
        ("/docs", "The documentation page", "Needs no internet.", page),
        ("/", "The documentation page", "The same as /docs.", page),
    )
    for path, title, text, ok in table:
        operation = _operation(None, title, text, ok, EVERYWHERE)
        operation["operationId"] = _identifier("", path if path != "/" else "/index", "GET")
        yield Entry("GET", path, path, operation)


# ---- the parts of an operation ------------------------------------------------------------------------------------


def _entry(subject: Subject, method: str, suffix: str, operation: dict[str, Any]) -> Entry:
    operation["operationId"] = _identifier(subject.key, suffix, method)
    return Entry(method, quote(subject.prefix) + suffix, subject.prefix + suffix, operation)


def _operation(
    subject: Subject | None, summary: str, description: str, ok: dict[str, Any], statuses: tuple[int, ...]
) -> dict[str, Any]:
    return {
        "tags": [subject.name if subject else SERVER],
        "summary": summary,
        "description": description,
        "parameters": [TIMEOUT],
        "responses": {"200": ok} | {str(status): error_reference(status) for status in sorted(statuses)},
    }


def _identifier(key: str, path: str, method: str) -> str:
    words = [word for word in path.replace("-", "_").replace(".", "_").split("/") if word]
    return "_".join([key, *words, method.lower()] if key else [*words, method.lower()])


def _ok(schema: Schema, headers: tuple[str, ...] = PROVENANCE) -> dict[str, Any]:
    return {
        "description": "Done.",
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in headers},
        "content": {"application/json": {"schema": schema}},
    }


def _media(kind: str) -> dict[str, Any]:
    return _ok({}, ALWAYS) | {"content": {kind: {"schema": {"type": "string"}}}}
