"""The operations of pieces as OpenAPI operations. Their schemas come from the types that they declare."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import NoneType
from typing import Any

import msgspec

from mlpatterns.server.operations import MappedOperation, names_in
from mlpatterns.server.pages.openapi_parts import (
    EVERYWHERE,
    OpenapiOperation,
    first_words,
    identifier,
    ok_response,
    operation_of,
    summary_of,
    text_of,
)
from mlpatterns.server.pages.openapi_schemas import Schema

__all__ = ["piece_entries", "piece_schemas"]

STATUSES = (*EVERYWHERE, 404, 409, 415, 429)
PREFIX = "operation."  # of the names of operations' schemas, so that none equals the name of a model's schema


def piece_schemas(mapped: Sequence[MappedOperation]) -> dict[str, Schema]:
    """The schemas of the records that operations take and return, by name."""
    return _schemas(mapped)[1]


def piece_entries(mapped: Sequence[MappedOperation]) -> Iterator[OpenapiOperation]:
    """Yields each operation once for each of its paths."""
    references, records = _schemas(mapped)
    for index, one in enumerate(mapped):
        taken, given = _resolved(references[2 * index], records), references[2 * index + 1]
        for path in one.paths:
            yield OpenapiOperation(one.method, path, _example(path), _described(one, path, taken, given))


def _schemas(mapped: Sequence[MappedOperation]) -> tuple[tuple[Schema, ...], dict[str, Schema]]:
    """The schemas of the operations (input, output, input, output, …), and the schemas to which they refer, by name."""
    kinds = [kind for one in mapped for kind in (one.operation.input, one.operation.output)]
    template = f"#/components/schemas/{PREFIX}{{name}}"
    schemas, records = msgspec.json.schema_components(kinds, ref_template=template)
    return schemas, {f"{PREFIX}{name}": schema for name, schema in records.items()}


def _resolved(schema: Schema, records: dict[str, Schema]) -> Schema:
    reference = schema.get("$ref")
    return records[reference.removeprefix("#/components/schemas/")] if reference else schema


def _example(path: str) -> str:
    for name in names_in(path):
        path = path.replace(f"{{{name}}}", "1")
    return path


def _described(one: MappedOperation, path: str, taken: Schema, given: Schema) -> dict[str, Any]:
    operation, posted = one.operation, one.method == "POST"
    answer = text_of("text/html") if operation.kind == "page" else ok_response(given)
    statuses = (*STATUSES, 408) if posted else STATUSES
    said = _description(one)
    described = operation_of(one.model, summary_of(said), said, answer, statuses)
    described["operationId"] = identifier("", path, one.method)
    described["parameters"] += _parameters(one, taken)
    if posted and operation.input is not NoneType:
        schema = _without(taken, names_in(operation.name))
        required = bool(schema.get("required")) or "properties" not in schema
        described["requestBody"] = {"required": required, "content": {"application/json": {"schema": schema}}}
    return described


def _description(one: MappedOperation) -> str:
    return first_words(one.operation.handler) or f"A {one.operation.kind} of {type(one.piece).__name__}."


def _parameters(one: MappedOperation, taken: Schema) -> Iterator[dict[str, Any]]:
    """Yields the parameters in the path, and for a GET all other fields as query parameters."""
    in_path, required = names_in(one.operation.name), taken.get("required", ())
    for name, schema in taken.get("properties", {}).items():
        if name in in_path:
            yield {"name": name, "in": "path", "required": True, "schema": schema}
        elif one.method == "GET":
            yield {"name": name, "in": "query", "required": name in required, "schema": schema}


def _without(taken: Schema, names: Sequence[str]) -> Schema:
    """The schema of a record without the fields that are in the path."""
    if not names:
        return taken
    properties = {name: schema for name, schema in taken["properties"].items() if name not in names}
    return {**taken, "properties": properties, "required": [n for n in taken.get("required", ()) if n not in names]}
