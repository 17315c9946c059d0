"""The common parts of an OpenAPI document: the fields of every operation, errors, headers, security, components."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from msgspec import Struct

from mlpatterns.errors import ErrorCode
from mlpatterns.server.pages.openapi_schemas import Schema, list_of, object_of

__all__ = [
    "COMMAND_SCHEMES", "EVERYWHERE", "PREDICTING", "PROVENANCE", "USER_SCHEMES", "OpenapiOperation",
    "accepted_response", "component", "components", "error_reference", "first_words", "identifier", "ok_response",
    "operation_of", "summary_of", "text_of",
]  # fmt: skip

ALWAYS = ("x-mlp-prediction-id",)
PROVENANCE = (*ALWAYS, "x-mlp-version", "x-mlp-arm", "x-mlp-cache", "x-mlp-degraded")

EVERYWHERE = (400, 405, 413, 500, 503, 504)
PREDICTING = (*EVERYWHERE, 404, 415, 429)
TIMEOUT = {"$ref": "#/components/parameters/Timeout"}


class OpenapiOperation(Struct, frozen=True):
    """One operation of the document.

    Attributes:
        path: the path in the document: percent-encoded, with `{parameters}`.
        served: the decoded path of an example request, which finds the route.
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
        answer: the response for `status`.
        statuses: the statuses of the errors.
    """
    return {
        "tags": [tag],
        "summary": summary,
        "description": description,
        "parameters": [TIMEOUT],
        "responses": {str(status): answer} | {str(error): error_reference(error) for error in sorted(statuses)},
    }


def identifier(key: str, path: str, method: str) -> str:
    """An `operationId` made from a path and a method."""
    words = [word for word in re.split(r"\W+", path) if word]
    return "_".join([key, *words, method.lower()] if key else [*words, method.lower()])


def first_words(function: Callable[..., Any] | None) -> str:
    """The first paragraph of the docstring of a function, or of a partial's function, as one line; empty if it has
    none."""
    while isinstance(function, partial):
        function = function.func
    doc = inspect.getdoc(function) if function else None
    return (doc or "").partition("\n\n")[0].replace("\n", " ")


def summary_of(description: str) -> str:
    """The first clause of a description, without backticks. It is short enough for the line of a folded route."""
    return re.split(r"[.;:](?= |$)", description.replace("`", ""), maxsplit=1)[0]


def ok_response(schema: Schema, headers: tuple[str, ...] = ALWAYS) -> dict[str, Any]:
    """The response 200 with JSON of `schema` and these `headers`."""
    return {
        "description": "Done.",
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in headers},
        "content": {"application/json": {"schema": schema}},
    }


def accepted_response() -> dict[str, Any]:
    """The response 202 with the id of the job, or a list of ids if one call makes several jobs."""
    job = {"anyOf": [{"type": "string"}, list_of({"type": "string"})]}
    answer = ok_response(object_of(job_id=job), (*PROVENANCE, "location"))
    return answer | {"description": "Accepted: a job will compute the answer; Location is the URL to get it from."}


def text_of(kind: str) -> dict[str, Any]:
    """The response 200 with text of the media type `kind`."""
    return ok_response({}) | {"content": {kind: {"schema": {"type": "string"}}}}


# ---- the components ------------------------------------------------------------------------------------------------


ERRORS: dict[int, tuple[str, str]] = {
    400: ("BadRequest", "The request is malformed; the error says where."),
    401: ("Unauthorized", "Credentials are missing or unknown, or commands are off."),
    404: ("NotFound", "There is no such path, model, version, label or sample."),
    405: ("MethodNotAllowed", "The path answers other methods; the Allow header names them."),
    408: ("RequestTimeout", "The body did not arrive in time."),
    409: ("Conflict", "The request conflicts with the current state."),
    413: ("TooLarge", "The body, the headers or a tensor are larger than the server accepts."),
    415: ("Unsupported", "The content encoding or the kind of call is not supported."),
    429: ("RateLimited", "Too many requests of this caller."),
    500: ("InternalError", "The server or the model failed; the fault is not in the request."),
    503: ("Unavailable", "The model is not ready, or the server is full; try again after Retry-After."),
    504: ("DeadlineExceeded", "The deadline passed before the answer was ready."),
}

HEADERS: dict[str, tuple[str, Schema]] = {
    "x-mlp-prediction-id": ("The id of this answer in log, feedback and trace.", {"type": "string"}),
    "x-mlp-version": ("The version of the model that answered.", {"type": "string"}),
    "x-mlp-arm": ("The arm that answered, where traffic is split.", {"type": "string"}),
    "x-mlp-cache": ("What the cache did, if there is one.", {"type": "string"}),
    "x-mlp-degraded": ("Present if a fallback answered.", {"const": "true"}),
    "x-mlp-code": ("Why it was refused, where one status has several reasons.", {"enum": list(ErrorCode)}),
    "location": ("The URL of an accepted job's answer.", {"type": "string"}),
    "retry-after": ("Seconds after which trying again may help.", {"type": "integer", "minimum": 1}),
    "allow": ("The methods of this path.", {"type": "string"}),
    "www-authenticate": ("The scheme of the credentials.", {"type": "string"}),
}


def error_reference(status: int) -> Schema:
    """A reference to the response for the error `status` in the components."""
    return {"$ref": f"#/components/responses/{ERRORS[status][0]}"}


def component(name: str) -> Schema:
    """A reference to a schema in the components."""
    return {"$ref": f"#/components/schemas/{name}"}


def components(models: Mapping[str, Schema], *, secured: bool, commands: bool = False) -> dict[str, Any]:
    """All components of the document.

    Args:
        models: the schemas of the models and of operations, by name.
        secured: whether to include the security schemes of users.
        commands: whether to include the security schemes of the admin token.
    """
    text, strings = {"type": "string"}, list_of({"type": "string"})
    tensor = object_of(name=text, datatype=text, shape=list_of({"type": "integer", "minimum": -1}))
    tensors = list_of(tensor)
    by_input: Schema = {"anyOf": [text, {"type": "object", "additionalProperties": text}]}  # or one by name
    sides = {f"data_{what}": by_input for what in ("type", "structure")}
    sides |= {f"prediction_{what}": text for what in ("type", "structure")}
    schemas: dict[str, Schema] = {
        "Error": object_of(error={"type": "string", "description": "One sentence."}),
        "Metadata": object_of(**sides, data_sample={}, prediction_sample={}),
        "ModelMetadata": object_of(name=text, versions=strings, platform=text, inputs=tensors, outputs=tensors),
        **models,
    }
    found: dict[str, Any] = {
        "schemas": schemas,
        "responses": {
            name: _error(status, text)
            for status, (name, text) in ERRORS.items()
            if secured or commands or status != 401
        },
        "headers": {name: {"description": text, "schema": schema} for name, (text, schema) in HEADERS.items()},
        "parameters": {"Timeout": _TIMEOUT},
    }
    schemes = (USER_SCHEMES if secured else {}) | (COMMAND_SCHEMES if commands else {})
    return found | ({"securitySchemes": schemes} if schemes else {})


USER_SCHEMES: dict[str, Any] = {
    "apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key"},
    "bearer": {"type": "http", "scheme": "bearer"},
}
COMMAND_SCHEMES: dict[str, Any] = {
    "adminToken": {"type": "apiKey", "in": "header", "name": "x-admin-token"},
    "adminBearer": {"type": "http", "scheme": "bearer", "description": "The admin token."},
}

_TIMEOUT = {
    "name": "x-request-timeout-ms",
    "in": "header",
    "description": "The time this request may take; the server has a limit of its own.",
    "schema": {"type": "integer", "minimum": 1, "maximum": 10**12 - 1},
}


def _error(status: int, text: str) -> dict[str, Any]:
    extra = {401: "www-authenticate", 405: "allow", 429: "retry-after", 503: "retry-after"}.get(status)
    coded = ["x-mlp-code"] if status not in (405, 408) else []
    names = ["x-mlp-prediction-id", *coded, *([extra] if extra else [])]
    return {
        "description": text,
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in names},
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }
