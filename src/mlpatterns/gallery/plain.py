"""Shows any ASGI app other than `App` on the index page, from its OpenAPI document and its responses.

Its form offers the GET routes. For a name in a path, as in `/models/name/{model_name}`, it offers the names that the
app's own lists hold, so that every choice exists.
"""

from __future__ import annotations

import json
import re
from asyncio import gather, timeout
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Protocol, runtime_checkable

from msgspec import Struct

from mlpatterns.catalog import System
from mlpatterns.gallery.card import LINKS, Card, FormRoute, FormSpec
from mlpatterns.server.asgi import get
from mlpatterns.server.pages.diagram_nodes import Node
from mlpatterns.server.servable import PlainApp

__all__ = ["HasDiagram", "Plain"]

ROWS, SHOWN = 50, 12  # rows read from a list, and names to choose from; names shown on the card
PATIENCE = 5.0  # seconds that the index page waits for an app's answer
DENIED, NOT_FOUND, UNAVAILABLE = (401, 403), 404, 503


@runtime_checkable
class HasDiagram(Protocol):
    """An app that draws its own diagram."""

    def drawing(self) -> Node: ...


class ReadRoute(Struct, frozen=True):
    """A GET route that needs no parameters but those in its path.

    Attributes:
        names: the names of its path parameters.
        listing: whether it answers with a list.
        limited: whether it takes the query parameter `limit`.
    """

    path: str
    names: tuple[str, ...]
    listing: bool
    limited: bool


class Plain:
    """Any ASGI app, as a member of the gallery."""

    def __init__(self, name: str, app: PlainApp) -> None:
        self.app, self._name = app, name
        self._links: tuple[str, ...] = ()
        self._drawing: Node | None = None
        self._read_routes: tuple[ReadRoute, ...] = ()
        self._learned = False

    @property
    def home(self) -> str:
        return "docs" if "docs" in self._links else ""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Runs the app, and reads its links, routes and diagram once: they do not change while it runs."""
        async with self.app.running():
            await self._learn()
            self._drawing = self.app.asgi.drawing() if isinstance(self.app.asgi, HasDiagram) else None
            yield

    async def _learn(self) -> None:
        """Reads the links and the routes. If the app is too busy to answer, they are read at the next request."""
        answers = {path: await self._fetch(f"/{path}") for path in LINKS}
        self._links = tuple(path for path, (status, _) in answers.items() if status < 400 or status == UNAVAILABLE)
        self._read_routes = tuple(_read_routes(_json(answers["openapi.json"])))
        self._learned = answers["openapi.json"][0] != UNAVAILABLE

    async def waiting(self) -> list[str]:
        """The error of its `/health/ready`; empty if it is ready or has no such route."""
        answer = await self._fetch("/health/ready")
        if answer[0] < 400 or answer[0] == NOT_FOUND:
            return []
        said = _json(answer)
        return [str(said["error"]) if isinstance(said, dict) and "error" in said else self._name]

    def trouble(self) -> str:
        return ""  # no route of any ASGI app tells it

    async def card(self, system: System) -> Card:
        if not self._learned:
            await self._learn()
        waiting = tuple(await self.waiting())
        lists = [] if waiting else await gather(*map(self._list, self._read_routes))
        known = _names(rows for _, rows in lists)
        choices = tuple(FormRoute("GET", one.path.removeprefix("/"), "nothing") for one in self._read_routes
                        if known.keys() >= {*one.names})  # fmt: skip
        return Card(
            system,
            self._drawing,
            (FormSpec(system.name, choices, "nothing", parameters=known),) if choices else (),
            links=self._links,
            waiting=waiting,
            listed="; ".join(f"{field.removesuffix('_name')}s: {_joined(names)}" for field, names in known.items()),
            secured=any(status in DENIED for status, _ in lists),
        )

    async def _list(self, route: ReadRoute) -> tuple[int, Any]:
        """The status and the rows of a list route without path parameters; 0 and no rows for any other route."""
        if not route.listing or route.names:
            return 0, []
        answer = await self._fetch(route.path, f"limit={ROWS}" if route.limited else "")
        return answer[0], _json(answer) if answer[0] < 400 else []

    async def _fetch(self, path: str, query: str = "") -> tuple[int, bytes]:
        try:
            async with timeout(PATIENCE):
                return await get(self.app, path, query)
        except TimeoutError:
            return UNAVAILABLE, json.dumps({"error": f"no answer in {PATIENCE:g} seconds"}).encode()


def _json(answer: tuple[int, bytes]) -> Any:
    try:
        return json.loads(answer[1])
    except ValueError:
        return None


def _read_routes(document: Any) -> Iterator[ReadRoute]:
    """The GET routes of an OpenAPI document that require no query parameter."""
    for path, methods in (document or {}).get("paths", {}).items():
        operation = methods.get("get")
        if operation is None or path.removeprefix("/") in LINKS:
            continue
        queries = {one["name"]: one.get("required", False) for one in operation.get("parameters", ())
                   if one.get("in") == "query"}  # fmt: skip
        if not any(queries.values()):
            listing = _response_schema(operation).get("type") == "array"
            yield ReadRoute(path, tuple(re.findall(r"{(\w+)}", path)), listing, "limit" in queries)


def _response_schema(operation: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema of an operation's response."""
    content = operation.get("responses", {}).get("200", {}).get("content", {})
    schema: Mapping[str, Any] = content.get("application/json", {}).get("schema", {})
    return schema


def _names(lists: Iterable[Any]) -> dict[str, tuple[str, ...]]:
    """The names in rows, by their field. Ids are left out, because people choose by name."""
    found: dict[str, dict[str, None]] = {}
    for row in (row for rows in lists if isinstance(rows, list) for row in rows if isinstance(row, dict)):
        for field, value in row.items():
            if isinstance(value, str) and value and field.endswith("_name"):
                found.setdefault(field, {})[value] = None
    return {field: tuple(values)[:ROWS] for field, values in found.items()}


def _joined(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
