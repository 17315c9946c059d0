"""The page of the model DB as text; how it behaves is in tests/browser."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from mlpatterns.model_db.api import docs_page
from mlpatterns.model_db.api.app import _application
from mlpatterns.settings import Settings

MOVE = 'data-method="PUT" data-path="v0.1/api/models/name/{model_name}/aliases/{alias}"'


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return _application(Settings(home=Path("nowhere"))).openapi()


def form(page: str, attributes: str) -> str:
    """The form with these attributes."""
    (found,) = (one for one in page.split("<form")[1:] if attributes in one.partition(">")[0])
    return found.partition("</form>")[0]


def test_every_route_has_a_form_with_a_field_for_each_parameter_and_property(document: dict[str, Any]) -> None:
    page = docs_page.page(document, secured=False, commands=True)
    schemas = document["components"]["schemas"]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            shown = form(page, f'data-method="{method.upper()}" data-path="{path[1:]}"')
            wanted = [(one["name"], one["in"]) for one in operation.get("parameters", ())]
            if "requestBody" in operation:
                body = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
                wanted += [(name, "body") for name in schemas[body]["properties"]]
            found = re.findall(r'data-parameter="(\w+)" data-in="(\w+)"', shown)
            assert sorted(found) == sorted(wanted), (method, path)


def test_fields_are_of_the_types_that_the_document_says(document: dict[str, Any]) -> None:
    shown = form(docs_page.page(document, secured=False, commands=True), MOVE)
    kinds = dict(re.findall(r'data-parameter="(\w+)" data-in="\w+" data-kind="(\w+)"', shown))
    assert kinds == {"model_name": "text", "alias": "text", "number": "number", "expected": "any", "force": "json"}
    command = unescape(re.findall(r'<pre class="curl" tabindex="0">(.*?)</pre>', shown)[0])
    assert command.startswith("curl -X PUT 'http://127.0.0.1:8000/v0.1/api/models/name/model_name/aliases/alias'")
    assert command.endswith("""-d '{"number": 0}'""")


@pytest.mark.parametrize("commands", [True, False])
def test_the_token_is_asked_for_where_a_command_is_and_there_is_one(document: dict[str, Any], commands: bool) -> None:
    page = docs_page.page(document, secured=False, commands=commands)
    found = {True: 0, False: 0}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            shown = form(page, f'data-method="{method.upper()}" data-path="{path[1:]}"')
            command = any("adminToken" in scheme for scheme in operation.get("security", ()))
            found[command] += 1
            assert ("data-token" in shown) == (command and commands)
            assert ("set admin_token" in shown) == (command and not commands)
    assert found[True] >= 5
    assert found[False] > 20


@pytest.mark.parametrize("secured", [True, False])
def test_a_key_is_asked_for_only_where_one_is_needed(document: dict[str, Any], secured: bool) -> None:
    page = docs_page.page(document, secured=secured, commands=False)
    assert ('id="key"' in page) == secured
    assert ("x-api-key: $API_KEY" in page) == secured


def test_a_command_sends_the_key_too_where_one_is_needed(document: dict[str, Any]) -> None:
    delete = 'data-method="DELETE" data-path="v0.1/api/models/id/{model_id}"'
    for secured in (True, False):
        shown = unescape(form(docs_page.page(document, secured=secured, commands=True), delete))
        assert '-H "x-admin-token: $ADMIN_TOKEN"' in shown
        assert ('-H "x-api-key: $API_KEY"' in shown) == secured


def test_the_document_names_both_the_key_and_the_token(document: dict[str, Any]) -> None:
    schemes = document["components"]["securitySchemes"]
    assert {name: scheme["name"] for name, scheme in schemes.items()} == {
        "apiKey": "x-api-key", "adminToken": "x-admin-token"
    }  # fmt: skip
    deleted = document["paths"]["/v0.1/api/models/id/{model_id}"]["delete"]
    assert {name for scheme in deleted["security"] for name in scheme} == {"apiKey", "adminToken"}


def test_labels_belong_to_fields_and_identifiers_are_unique(document: dict[str, Any]) -> None:
    page = docs_page.page(document, secured=True, commands=True).partition("<script>")[0]
    identifiers = re.findall(r'\sid="([^"]+)"', page)
    assert len(identifiers) == len(set(identifiers))
    fields = re.findall(r'<(?:input|select|textarea)[^>]*\sid="([^"]+)"', page)
    assert set(re.findall(r'<label for="([^"]+)"', page)) == set(fields)
