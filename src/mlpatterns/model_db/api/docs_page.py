"""`/docs`: the routes, each with a form, as one HTML page that loads no other file, as on every server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse

from mlpatterns.markup import Markup, element, group
from mlpatterns.server.auth import Gate
from mlpatterns.server.pages.html import credential, headers_of, whole_page
from mlpatterns.server.pages.openapi_parts import summary_of
from mlpatterns.server.pages.route_form import RouteRenderer, operations

__all__ = ["add", "page"]

LINKS = (("openapi.json", "OpenAPI document"), ("health/ready", "Health"))


def add(app: FastAPI) -> None:
    """Adds the page to `app`."""
    headers = {name.decode(): value.decode() for name, value in headers_of("docs")}

    # The page needs no key, as on every server: a browser sends no key when it navigates. The page's requests send it.
    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> HTMLResponse:
        gate = cast("Gate", request.app.state.gate)
        text = page(request.app.openapi(), secured=gate.secured, commands=gate.commands)
        return HTMLResponse(text, headers=headers)


def page(document: Mapping[str, Any], *, secured: bool, commands: bool) -> str:
    """The page with the routes of an OpenAPI document, by tag.

    Args:
        secured: whether users need an API key.
        commands: whether an admin token is set.
    """
    renderer, by_tag = RouteRenderer(document, secured=secured, commands=commands), dict[str, list[Markup]]()
    for number, (path, method, operation) in enumerate(operations(document)):
        route = {**operation, "summary": _line(operation)}
        by_tag.setdefault(operation["tags"][0], []).append(renderer.render(f"r{number}", path, method, route))
    sections = (
        element("section", element("h2", tag, id=tag), *routes, class_="model") for tag, routes in by_tag.items()
    )
    info = document["info"]
    return whole_page(
        f"{info['title']} · mlpatterns",
        element("main", _head(info, by_tag, secured=secured), *sections),
        "docs",
        at_root=False,
    )


def _head(info: Mapping[str, Any], tags: Mapping[str, Any], *, secured: bool) -> Markup:
    links = (element("a", text, href=path, data_path=path) for path, text in LINKS)
    jumps = (element("a", tag, href=f"#{tag}") for tag in tags)
    return element(
        "header",
        element("h1", info["title"]),
        element("p", info["description"], class_="quiet"),
        element("nav", *links, aria_label="Documents"),
        element("nav", *jumps, aria_label="Nouns"),
        credential("key", "API key") if secured else group(),
    )


def _line(operation: Mapping[str, Any]) -> str:
    """The first clause of a route's description, as its summary."""
    said = str(operation.get("description", "")).partition("\n\n")[0].replace("\n", " ")
    return summary_of(said) or str(operation["summary"])
