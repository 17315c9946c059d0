"""The parts that every operation of the OpenAPI document is made of."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from mlpatterns.server.pages.openapi_components import error_reference, object_of
from mlpatterns.server.pages.openapi_schemas import Schema

__all__ = [
    "ALWAYS", "EVERYWHERE", "PREDICTING", "TIMEOUT", "Entry", "accepted", "done", "first_words", "identifier",
    "operation_of", "text_of",
]  # fmt: skip

ALWAYS = ("x-mlp-prediction-id",)
PROVENANCE = (*ALWAYS, "x-mlp-version", "x-mlp-arm", "x-mlp-cache", "x-mlp-degraded")

EVERYWHERE = (400, 405, 413, 500, 503, 504)
PREDICTING = (*EVERYWHERE, 404, 415, 429)
TIMEOUT = {"$ref": "#/components/parameters/Timeout"}


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


def operation_of(
    tag: str,
    summary: str,
    description: str,
    answer: dict[str, Any],
    statuses: tuple[int, ...],
    status: int = 200,
) -> dict[str, Any]:
    """An operation without its `operationId`.

    Args:
        answer: of `status`.
        statuses: of the errors.
    """
    return {
        "tags": [tag],
        "summary": summary,
        "description": description,
        "parameters": [TIMEOUT],
        "responses": {str(status): answer} | {str(error): error_reference(error) for error in sorted(statuses)},
    }


def identifier(key: str, path: str, method: str) -> str:
    """An `operationId` made of a path."""
    words = [word for word in re.split(r"\W+", path) if word]
    return "_".join([key, *words, method.lower()] if key else [*words, method.lower()])


def first_words(function: Callable[..., Any] | None) -> str:
    """The first paragraph of a function's docstring in one line; empty if there is none."""
    said = inspect.getdoc(function) if function else None
    return (said or "").partition("\n\n")[0].replace("\n", " ")


def done(schema: Schema, headers: tuple[str, ...] = PROVENANCE) -> dict[str, Any]:
    """The answer of 200 in JSON."""
    return {
        "description": "Done.",
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in headers},
        "content": {"application/json": {"schema": schema}},
    }


def accepted() -> dict[str, Any]:
    """The answer of 202: the id of the job, of several requests in one a list."""
    job = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
    answer = done(object_of(job_id=job), (*PROVENANCE, "location"))
    return answer | {"description": "Accepted: a job will have the answer; Location says where that is told."}


def text_of(kind: str) -> dict[str, Any]:
    """The answer of 200 as text of a media type."""
    return done({}, ALWAYS) | {"content": {kind: {"schema": {"type": "string"}}}}
