"""Refuses paths and queries with text that the three databases would not look up alike, before a route runs."""

from __future__ import annotations

from fastapi import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from mlpatterns.errors import InvalidInput
from mlpatterns.registry.labels import fault_of_label, fault_of_text

__all__ = ["PlainPaths", "legible"]


class PlainPaths:
    """Refuses a path with a control character. Otherwise it would get 404: routes do not match a line break."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        fault = fault_of_label(f"/{scope['path']}/") if scope["type"] == "http" else ""
        if fault:
            await JSONResponse({"error": f"the path {fault}"}, 400)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def legible(request: Request) -> None:
    """Checks that the text in the path and the query can be looked up alike in every database.

    Raises:
        InvalidInput: a parameter in the path is not a valid label, or the query has a NUL or half a character.
    """
    for name, value in request.path_params.items():
        if fault := fault_of_label(str(value)):
            raise InvalidInput(f"{name} {fault}")
    for name, value in request.query_params.multi_items():
        if fault := fault_of_text(name) or fault_of_text(value):
            raise InvalidInput(f"the query {fault}")
