"""Makes the fields of a form from JSON schemas. The page's script makes the path, the query and the body of a request
from the values of the fields."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mlpatterns.markup import Markup, element, group

__all__ = ["Schemas", "body_example", "body_fields", "field"]

LONGEST_LINE = 1000  # characters; a text that may be longer gets a field of several lines
ONE_A_LINE = "one per line"
PLACEHOLDERS: dict[str, Any] = {"string": "…", "integer": 0, "number": 0, "boolean": False, "array": [], "object": {}}
Schema = Mapping[str, Any]


class Schemas:
    """Resolves the references to schemas in an OpenAPI document.

    Args:
        document: the whole document.
    """

    def __init__(self, document: Schema) -> None:
        self._named = document.get("components", {}).get("schemas", {})

    def whole(self, schema: Schema) -> Schema:
        """Resolves `schema` if it is a reference. For a choice between a type and null, returns the type."""
        reference = schema.get("$ref", "")
        found = self._named.get(reference.rpartition("/")[2], {}) if reference else schema
        choices = [one for one in found.get("anyOf", ()) if one.get("type") != "null"]
        if len(choices) == 1:
            return {**self.whole(choices[0]), **{key: found[key] for key in ("default", "description") if key in found}}
        kind = found.get("type")
        if isinstance(kind, list) and len(kinds := [one for one in kind if one != "null"]) == 1:
            return {**found, "type": kinds[0]}
        return dict(found)


def field(key: str, name: str, where: str, schema: Schema, *, required: bool, value: str = "") -> Markup:
    """A labelled field for one value.

    Args:
        key: the id of the field in the page.
        where: the part of the request that contains the value: `path`, `query` or `body`.
        schema: a schema without a reference.
        value: the initial value.
    """
    kind = _kind(schema, where)
    common: dict[str, str | bool] = {
        "id": key, "data_parameter": name, "data_in": where, "data_kind": kind, "autocomplete": "off",
        "data_needed": required,
        "required": required and not (where == "body" and _may_be_empty(schema)),
    }  # fmt: skip
    note = schema.get("description", "") or (ONE_A_LINE if kind == "list" else "")
    label = element(
        "label", name, group("" if required else " (optional)"), group(f": {note}" if note else ""), for_=key
    )
    return element("div", label, _control(kind, schema, value, common), class_="field")


def body_fields(key: str, schema: Schema, schemas: Schemas) -> Markup | None:
    """A field for each property of a JSON object; None if the body is not an object with properties.

    Args:
        key: the prefix of the fields' ids.
    """
    found = _object(schema, schemas)
    if found is None:
        return None
    required = found.get("required", ())
    return group(
        *(
            field(f"{key}-{name}", name, "body", schemas.whole(one), required=name in required)
            for name, one in found["properties"].items()
        )
    )


def body_example(schema: Schema, schemas: Schemas) -> str:
    """A JSON object with the required properties. The curl command shows it until the script replaces it."""
    found = _object(schema, schemas) or {}
    named = {name: _placeholder(schemas.whole(found["properties"][name])) for name in found.get("required", ())}
    return json.dumps(named, ensure_ascii=False)


def _object(schema: Schema, schemas: Schemas) -> Schema | None:
    """The schema of an object with properties: `schema` itself, else the first one in its `anyOf`; None without one."""
    whole = schemas.whole(schema)
    return next((one for one in (whole, *map(schemas.whole, whole.get("anyOf", ()))) if one.get("properties")), None)


def _placeholder(schema: Schema) -> Any:
    choices = _choices(schema)
    return choices[0] if choices else PLACEHOLDERS.get(str(schema.get("type")), "…")


def _choices(schema: Schema) -> list[Any]:
    """The allowed values, if the schema lists them."""
    return [schema["const"]] if "const" in schema else list(schema.get("enum", ()))


def _kind(schema: Schema, where: str) -> str:
    """How the script reads the text of a field: as text, a number, any JSON value, or a list for a query."""
    match schema.get("type"):
        case "integer" | "number":
            return "number"
        case "boolean":
            return "json"
        case "array" if where == "query":
            return "list"
        case "array" | "object":
            return "json"
        case "string":
            return "text"
    return "text" if all(isinstance(one, str) for one in _choices(schema) or [0]) else "any"


def _may_be_empty(schema: Schema) -> bool:
    return schema.get("type") == "string" and not schema.keys() & {"minLength", "pattern", "enum", "const", "format"}


def _control(kind: str, schema: Schema, value: str, common: Mapping[str, str | bool]) -> Markup:
    choices = ["true", "false"] if schema.get("type") == "boolean" else _choices(schema)
    if choices:
        texts = map(str, choices) if common["data_needed"] else ("", *map(str, choices))
        return element("select", *(element("option", text, selected=text == value) for text in texts), **common)
    default = schema.get("default")
    hint = "" if default in (None, "", []) else default if isinstance(default, str) else json.dumps(default)
    if kind == "list" or _long(schema):
        return element("textarea", value, rows="2", spellcheck="false", placeholder=hint or False, **common)
    if kind == "number":
        step = "1" if schema["type"] == "integer" else "any"
        limits = {side: f"{schema[word]:.0f}" for side, word in (("min", "minimum"), ("max", "maximum"))
                  if step == "1" and word in schema}  # fmt: skip
        return element("input", type="number", step=step, value=value, placeholder=hint or False, **limits, **common)
    return element("input", type="text", value=value, spellcheck="false", placeholder=hint or False, **common)


def _long(schema: Schema) -> bool:
    kind = schema.get("type")
    return kind in ("object", "array") or (kind == "string" and schema.get("maxLength", 0) > LONGEST_LINE)
