"""`/openapi.json`: an OpenAPI 3.1 document of exactly the routes that this app serves.

Each request makes it again, so that it has the schemas of a remote model as soon as they are known.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from itertools import count
from typing import Any

from starlette.routing import compile_path

from mlpatterns import __version__
from mlpatterns.errors import NotFound
from mlpatterns.server.answers import Answers
from mlpatterns.server.auth import Access
from mlpatterns.server.exchange import Answer, Call, Handler, encode
from mlpatterns.server.hosting import Hosted
from mlpatterns.server.operations import MappedOperation
from mlpatterns.server.pages.openapi_operations import Subject, model_entries
from mlpatterns.server.pages.openapi_parts import (
    COMMAND_SCHEMES,
    USER_SCHEMES,
    OpenapiOperation,
    components,
    error_reference,
)
from mlpatterns.server.pages.openapi_pieces import piece_entries, piece_schemas
from mlpatterns.server.pages.openapi_server import SERVER, management_entries, management_schemas, server_entries
from mlpatterns.server.routes import Routes, ServerRoute, WrongMethod

__all__ = ["Documented", "openapi_handler"]


@dataclass
class Documented:
    """The source of an OpenAPI document. The handlers of `/openapi.json` and `/docs` share one object.

    Args:
        models: the served models by name.
        routes: the routes of the app. The document contains the routes that exist when it is requested.
        several: whether each model has the simple API under `/models/NAME`.
        secured: whether routes that are not open need credentials.
        answers: the answers of the simple API that differ from the usual ones, and its other paths.
        operations: the operations of the pieces. They are set after all other routes have been added.
        ignore_extra: whether columns that a model does not have are dropped instead of refused.
        commands: whether there is an admin token, so that commands are on.
    """

    models: Mapping[str, Hosted]
    routes: Routes
    _: KW_ONLY
    several: bool
    secured: bool
    answers: Answers
    operations: Sequence[MappedOperation] = ()
    ignore_extra: bool = False
    commands: bool = False

    def document(self, root_path: str = "") -> dict[str, Any]:
        """The OpenAPI document. `root_path` is the path of the mount, as in the ASGI scope."""
        subjects = list(_subjects(self))
        paths: dict[str, dict[str, Any]] = {}
        identifiers: set[str] = set()
        for entry, route in _served(_entries(subjects, self.operations, self.answers), self.routes):
            operation = _secured(entry.operation, route.access, secured=self.secured)
            operation["operationId"] = _unique(operation["operationId"], identifiers)
            paths.setdefault(entry.path, {})[entry.method.lower()] = operation
        commands = any(route.access == "token" for route in self.routes.all())
        document: dict[str, Any] = {
            "openapi": "3.1.0",
            "info": {"title": ", ".join(self.models), "version": __version__, "description": DESCRIPTION},
            "tags": [{"name": name} for name in dict.fromkeys((*self.models, SERVER))],
            "paths": paths,
            "components": components(_schemas(subjects, self.operations), secured=self.secured, commands=commands),
        }
        if root_path:
            document["servers"] = [{"url": root_path}]
        if self.secured:
            document["security"] = [{name: []} for name in USER_SCHEMES]
        return document


def openapi_handler(documented: Documented) -> Handler:
    """The handler of `/openapi.json`."""

    async def document(call: Call) -> Answer:
        return Answer(encode(documented.document(call.scope.get("root_path", "").rstrip("/"))))

    return document


DESCRIPTION = "The simple API, the Open Inference Protocol (OIP), health and metrics. Served by mlpatterns."


def _subjects(documented: Documented) -> Iterator[Subject]:
    taken: set[str] = set()
    for name, model in documented.models.items():
        key = _unique(re.sub(r"[^A-Za-z0-9]", "_", name), taken)
        prefix = f"/models/{name}" if documented.several else ""
        yield Subject(key, name, prefix, model.known, documented.answers, documented.ignore_extra)


def _schemas(subjects: list[Subject], operations: Sequence[MappedOperation]) -> dict[str, Any]:
    models = {name: schema for subject in subjects for name, schema in subject.schemas().items()}
    return models | management_schemas() | piece_schemas(operations)


def _unique(name: str, taken: set[str]) -> str:
    """`name`, followed by a number if it is already in `taken`. Adds the result to `taken`."""
    numbered = (name if number == 1 else f"{name}_{number}" for number in count(1))
    free = next(candidate for candidate in numbered if candidate not in taken)
    taken.add(free)
    return free


def _entries(
    subjects: list[Subject], operations: Sequence[MappedOperation], answers: Answers
) -> Iterator[OpenapiOperation]:
    for subject in subjects:
        yield from model_entries(subject)
        yield from management_entries(subject)
    yield from piece_entries(operations)
    yield from server_entries(answers.health)


def _served(entries: Iterator[OpenapiOperation], routes: Routes) -> Iterator[tuple[OpenapiOperation, ServerRoute]]:
    """Yields each operation that a route serves, and a minimal operation for each route that has no description."""
    served = set()
    for entry in entries:
        try:
            route, _ = routes.find(entry.method, entry.served)
        except (NotFound, WrongMethod):
            continue
        served.add((entry.method, entry.served))
        yield entry, route
    for path, methods in (*routes.exact.items(), *routes.patterns.items()):
        found = compile_path(path)[0]
        alike = {method for method, other in served if found.match(other) or other + "/" == path}
        for method in sorted(methods.keys() - alike):
            yield _unknown(method, path), methods[method]


def _unknown(method: str, path: str) -> OpenapiOperation:
    """A minimal operation for a route that this package has no description of."""
    names = re.findall(r"{(\w+)(?::\w+)?}", path)
    path = re.sub(r"{(\w+):\w+}", r"{\1}", path)
    parameters = [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]
    operation = {
        "tags": [SERVER],
        "summary": path,
        "operationId": re.sub(r"\W+", "_", f"{path}_{method.lower()}").strip("_"),
        "parameters": parameters,
        "responses": {"200": {"description": "Done."}, "400": error_reference(400), "500": error_reference(500)},
    }
    return OpenapiOperation(method, path, path, operation)


def _secured(operation: dict[str, Any], access: Access, *, secured: bool) -> dict[str, Any]:
    if access == "open":
        return {**operation, "security": []} if secured else operation
    if access == "user" and not secured:
        return operation
    needed: dict[str, Any] = {"security": [{name: []} for name in COMMAND_SCHEMES]} if access == "token" else {}
    return {**operation, **needed, "responses": {**operation["responses"], "401": error_reference(401)}}
