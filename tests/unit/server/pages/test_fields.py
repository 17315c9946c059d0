"""The fields of a form, by the JSON schema of what they hold."""

from __future__ import annotations

import json
import re
from html import escape
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlpatterns.server.pages.fields import Schemas, body_example, body_fields, field

NULL = {"type": "null"}
NAMED = {"components": {"schemas": {"Body": {"type": "object", "required": ["count"], "properties": {
    "count": {"type": "integer", "minimum": 1},
    "words": {"anyOf": [{"type": "string"}, NULL]},
}}}}}  # fmt: skip
SCHEMAS = Schemas(NAMED)


class Fields(HTMLParser):
    """The fields with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.options: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("input", "select", "textarea"):
            self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.options.append(data)


def one(schema: dict[str, Any], where: str = "query", *, required: bool = False) -> tuple[str, dict[str, str | None]]:
    ((tag, attributes),) = Fields(field("k", "n", where, SCHEMAS.whole(schema), required=required)).found
    return tag, attributes


@pytest.mark.parametrize(
    ("schema", "tag", "kind", "type_"),
    [
        ({"type": "string"}, "input", "text", "text"),
        ({"anyOf": [{"type": "string", "maxLength": 128}, NULL]}, "input", "text", "text"),
        ({"type": ["string", "null"]}, "input", "text", "text"),
        ({"type": "string", "maxLength": 10_000}, "textarea", "text", None),
        ({"type": "integer", "minimum": 1, "maximum": 9}, "input", "number", "number"),
        ({"anyOf": [{"type": "number"}, NULL]}, "input", "number", "number"),
        ({"type": "boolean"}, "select", "json", None),
        ({"type": "string", "enum": ["a", "b"]}, "select", "text", None),
        ({"type": "array", "items": {"type": "string"}}, "textarea", "list", None),
        ({"type": "object"}, "textarea", "json", None),
        ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, "input", "any", "text"),
        ({}, "input", "any", "text"),
    ],
)
def test_each_type_has_the_field_that_fits_it(schema: dict[str, Any], tag: str, kind: str, type_: str | None) -> None:
    found, attributes = one(schema)
    assert (found, attributes["data-kind"], attributes.get("type")) == (tag, kind, type_)
    assert "required" not in attributes


def test_limits_and_defaults_are_those_of_the_schema() -> None:
    _, attributes = one({"type": "integer", "minimum": 1.0, "maximum": 999999999.0, "default": 1000})
    assert (attributes["min"], attributes["max"], attributes["step"]) == ("1", "999999999", "1")
    assert attributes["placeholder"] == "1000"
    assert one({"type": "number"})[1]["step"] == "any"


def test_an_array_in_a_body_is_json_and_what_must_be_there_is_required() -> None:
    _, attributes = one({"type": "array"}, "body", required=True)
    assert attributes["data-kind"] == "json"
    assert "required" in attributes


def test_the_values_there_are_can_be_chosen_and_what_is_optional_can_be_left_out() -> None:
    drawn = field("k", "n", "query", {"type": "boolean"}, required=False)
    assert Fields(drawn).options[-2:] == ["true", "false"]
    assert drawn.count("<option") == 3
    assert field("k", "n", "query", {"type": "boolean"}, required=True).count("<option") == 2


@pytest.mark.parametrize("schema", [
    {"$ref": "#/components/schemas/Body"},
    {"anyOf": [{"$ref": "#/components/schemas/Body"}, NULL]},
    {"anyOf": [{"type": "array", "items": {}}, {"$ref": "#/components/schemas/Body"}]},
])  # fmt: skip
def test_a_body_has_a_field_for_each_property(schema: dict[str, Any]) -> None:
    found = Fields(body_fields("k", schema, SCHEMAS) or "").found
    assert [attributes["data-parameter"] for _, attributes in found] == ["count", "words"]
    assert json.loads(body_example(schema, SCHEMAS)) == {"count": 0}


@pytest.mark.parametrize("schema", [{}, {"type": "array"}, {"type": "object"}, {"$ref": "#/components/schemas/Gone"}])
def test_any_other_body_has_none(schema: dict[str, Any]) -> None:
    assert body_fields("k", schema, SCHEMAS) is None


KINDS = st.sampled_from(["string", "integer", "number", "boolean", "array", "object", "null"])
VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
PLAIN = st.fixed_dictionaries({}, optional={
    "type": KINDS | st.lists(KINDS, max_size=3), "enum": st.lists(VALUES, max_size=3), "const": VALUES,
    "default": VALUES, "description": st.text(), "minimum": st.integers(), "maxLength": st.integers(0, 20_000),
})  # fmt: skip


@given(st.text(), PLAIN | st.builds(lambda of: {"anyOf": of}, st.lists(PLAIN, max_size=3)), st.booleans())
def test_any_schema_is_one_field_whose_texts_never_become_markup(
    name: str, schema: dict[str, Any], required: bool
) -> None:
    drawn = field("k", name, "body", SCHEMAS.whole(schema), required=required)
    ((_, attributes),) = Fields(drawn).found
    assert f'data-parameter="{escape(name)}"' in drawn
    assert set(re.findall(r"<(\w+)", drawn)) <= {"div", "label", "input", "select", "option", "textarea"}
    assert attributes["id"] == "k"
