"""The HTML of one route of an OpenAPI document: its description, its curl command, and a form that sends requests."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from mlpatterns.markup import Markup, element, group
from mlpatterns.server.pages.fields import Schemas, body_example, body_fields, field
from mlpatterns.server.pages.html import CREDENTIALS, answer_area, command, curl

__all__ = ["RouteRenderer", "operations"]

ORIGIN = "http://127.0.0.1:8000"  # in the commands, until the script replaces it with the origin of the page
ROWS = (".Rows", ".InferRequest")  # the endings of the names of schemas of model inputs, which users write as text
OFF = "This server has no admin token, so its commands are off: set admin_token to turn them on."


def operations(document: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yields the path, the method and the operation of each route."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method.upper(), operation


class RouteRenderer:
    """Renders the routes of one document as HTML.

    Args:
        secured: whether users need an API key.
        commands: whether the server has an admin token, so that the routes that need it are on.
    """

    def __init__(self, document: Mapping[str, Any], *, secured: bool, commands: bool) -> None:
        self._schemas, self._secured, self._commands = Schemas(document), secured, commands
        self._everywhere = document.get("security", [])

    def render(self, key: str, path: str, method: str, operation: Mapping[str, Any], *, opened: bool = False) -> Markup:
        """The HTML of a route, folded unless `opened`. `key` must be unique in the page."""
        verb = element("span", method, class_=f"verb {method.lower()}")
        what = element("span", operation["summary"], class_="what")
        summary = element("summary", verb, element("code", path), what)
        about = element("p", _with_code(operation.get("description", "")))
        form = self._form(key, path, method, operation)
        return element("details", summary, about, form, class_="route", id=key, open=opened)

    def _form(self, key: str, path: str, method: str, operation: Mapping[str, Any]) -> Markup:
        needed = {name for scheme in operation.get("security", self._everywhere) for name in scheme}
        asked = needed if self._secured else needed - {"apiKey"}
        credentials = "\n".join(header for name, header in CREDENTIALS.items() if name in asked)
        body, example = self._body(f"{key}-body", operation)
        fields = [self._parameter(key, one) for where in ("path", "query") for one in _parameters(operation, where)]
        button = element("button", "Send", type="submit", aria_label=f"Send {method} {path}")
        return element(
            "form",
            command(_curl(path, method, operation, example, credentials)),
            *fields,
            body,
            self._token(key) if "adminToken" in needed else group(),
            button,
            answer_area(),
            data_method=method,
            data_path=path.removeprefix("/"),
            data_credentials=credentials or False,
        )

    def _token(self, key: str) -> Markup:
        """The field for the admin token. Each command has one in its form, because no other route needs the token."""
        if not self._commands:
            return element("p", OFF, class_="quiet")
        token = element("input", id=f"{key}-token", type="password", autocomplete="off", spellcheck="false",
                        data_token=True)  # fmt: skip
        return element("div", element("label", "Admin token", for_=f"{key}-token"), token, class_="field")

    def _parameter(self, key: str, parameter: Mapping[str, Any]) -> Markup:
        schema = self._schemas.whole(parameter.get("schema", {}))
        if "description" in parameter:
            schema = {**schema, "description": parameter["description"]}
        name, where = parameter["name"], parameter["in"]
        value = str(parameter.get("example", ""))
        return field(f"{key}-{name}", name, where, schema, required=parameter.get("required", False), value=value)

    def _body(self, key: str, operation: Mapping[str, Any]) -> tuple[Markup, str | None]:
        """The field or the fields for the body, and an example body for the curl command; None without a body."""
        media = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if media is None:
            return group(), None
        examples = _examples(media)
        schema = media.get("schema", {})
        as_text = examples or schema.get("$ref", "").endswith(ROWS)
        typed = None if as_text else body_fields(key, schema, self._schemas)
        if typed is not None:
            return typed, body_example(schema, self._schemas)
        return _area(key, examples), next(iter(examples.values()), "")


def _curl(path: str, method: str, operation: Mapping[str, Any], body: str | None, credentials: str) -> str:
    for one in _parameters(operation, "path"):
        path = path.replace(f"{{{one['name']}}}", str(one.get("example", one["name"])))
    return curl(ORIGIN + path, (body or "") if method == "POST" else body, credentials, method)


def _parameters(operation: Mapping[str, Any], where: str) -> list[Mapping[str, Any]]:
    return [one for one in operation.get("parameters", ()) if one.get("in") == where]


def _area(key: str, examples: Mapping[str, str]) -> Markup:
    """A text area for the body, and a list to select an example from if there are several."""
    parts = Markup()
    if len(examples) > 1:
        options = [element("option", name, value=body) for name, body in examples.items()]
        chooser = element("select", *options, id=f"{key}-example", data_fills=key, autocomplete="off")
        parts = group(element("label", "Rows", for_=f"{key}-example"), chooser)
    body = next(iter(examples.values()), "")
    note = "" if body else " (the model has no sample, or one too large to show)"
    area = element("textarea", body, id=key, rows="3", spellcheck="false", autocomplete="off", data_body=True)
    return group(parts, element("label", f"Body{note}", for_=key), area)


def _examples(media: Mapping[str, Any]) -> dict[str, str]:
    """Example bodies as JSON text, by name."""
    found = {said["summary"]: said["value"] for said in media.get("examples", {}).values()}
    if "example" in media:
        found["sample"] = media["example"]
    return {name: json.dumps(value, ensure_ascii=False) for name, value in found.items()}


def _with_code(text: str) -> Markup:
    """`text` as HTML. The parts between backticks become `code` elements."""
    parts = re.split(r"`+([^`]+)`+", text)
    return group(*(element("code", part) if place % 2 else part for place, part in enumerate(parts)))
