"""OpenAPI documents against the servers that they describe: requests made of the document, right and wrong ones."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

from integration.processes import serving

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.heavy]
HERE = Path(__file__).parent
EXAMPLES = 4 * int(os.environ.get("MLPATTERNS_CHAOS", "1"))
TOKEN, KEY = "t0ken", "k3y"
SECRETS = {"MLPATTERNS_ADMIN_TOKEN": TOKEN, "MLPATTERNS_API_KEYS": f"alice={KEY}"}
HEADERS = {"x-admin-token": TOKEN, "x-api-key": KEY}

load_all_checks()
ANSWERED = CHECKS.get_by_names([
    "status_code_conformance", "content_type_conformance", "response_headers_conformance",
    "response_schema_conformance", "unsupported_method",
])  # fmt: skip
ACCEPTED = CHECKS.get_by_names(["positive_data_acceptance"])
REJECTED = CHECKS.get_by_names(["negative_data_rejection"])


@pytest.mark.parametrize(
    ("app", "environ"),
    [
        ("rows", {}),
        ("text", {}),
        ("image", {}),
        ("several", {"MLPATTERNS_ADMIN_TOKEN": TOKEN}),
        ("operations", SECRETS),
    ],
)
def test_what_a_server_does_is_what_its_document_says(app: str, environ: dict[str, str], tmp_path: Path) -> None:
    shutil.copy(HERE / "app_for_documents.py", tmp_path)
    environ = {"MLPATTERNS_TEST_APP": app, **environ}
    with serving("app_for_documents.py", cwd=tmp_path, environ=environ) as server:
        address = f"http://127.0.0.1:{server.port}/openapi.json"
        schema = schemathesis.openapi.from_url(address, headers=HEADERS)
        statuses = {status for operation in operations(schema) for status in asked(operation)}
        assert {200, 400, 404} <= statuses
        assert (401 in statuses) == ("MLPATTERNS_ADMIN_TOKEN" not in environ)  # where commands are off


def operations(schema: Any) -> Iterator[Any]:
    for found in schema.get_all_operations():
        yield found.ok()


def asked(operation: Any) -> set[int]:
    """The statuses that requests for `operation` were answered with, each checked."""
    statuses: set[int] = set()

    def ask(case: Any) -> None:
        answer = case.call(headers=HEADERS)
        statuses.add(answer.status_code)
        check(case, answer)

    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
        each(operation.as_strategy(generation_mode=mode), ask)
    return statuses


def each(strategy: Any, ask: Callable[[Any], None]) -> None:
    """The same examples each time, none made smaller: the first that fails says enough."""
    bounded = settings(
        max_examples=EXAMPLES, derandomize=True, database=None, deadline=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    bounded(given(case=strategy)(ask))()


def check(case: Any, answer: Any) -> None:
    status = answer.status_code
    assert status < 500 or status in (503, 504), answer.text
    if status >= 400:
        said = dict(answer.json())
        assert isinstance(said.pop("error"), str)
        assert said in ({}, {"ready": False})
    case.validate_response(answer, checks=ANSWERED)
    if status == 408:  # the case asked for a millisecond: nobody has looked at what it sent
        return
    if status == 413:  # refused for its size or its depth, whatever else is wrong with it
        return
    if "Authorization" not in (case.headers or {}):  # a wrong one beside the right key of HEADERS is not looked at
        case.validate_response(answer, checks=REJECTED)
    if may_be_accepted(case.operation) and not by_column(case.body):
        case.validate_response(answer, checks=ACCEPTED)


def by_column(body: Any) -> bool:
    """Whether it has columns by name: they must be of one length, which no schema can say."""
    return isinstance(body, dict) and isinstance(body.get("data"), dict)


def may_be_accepted(operation: Any) -> bool:
    """Not by a model that the simple API cannot serve; and what an infer request may hold depends on its shape, which
    no schema can say."""
    description = operation.definition.raw["description"]
    return not operation.label.endswith("/infer") and "Refused with" not in description
