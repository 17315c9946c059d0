"""The apps that a worker can serve: our own `App`, or a `PlainApp`, which starts, drains and stops any ASGI app."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol

from starlette.responses import JSONResponse

from mlpatterns.server.asgi import lifespan
from mlpatterns.server.exchange import Receive, Scope, Send
from mlpatterns.server.mounting import own_path

__all__ = ["PlainApp", "Servable", "is_asgi"]


class Servable(Protocol):
    """An app that a worker can serve: an `App`, a `PlainApp`, or an app that delegates to several apps."""

    draining: bool

    def running(self) -> AbstractAsyncContextManager[object]: ...
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...


class PlainApp:
    """Makes any ASGI app servable by a worker. It runs the app's lifespan. While it drains, `/health/ready` gives 503,
    and every response has the header `connection: close`."""

    def __init__(self, asgi: Any) -> None:
        self.asgi = asgi
        self.draining = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator[PlainApp]:
        """Runs the app's startup, and its shutdown at the end."""
        async with lifespan(self.asgi):
            yield self

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self.draining or scope["type"] != "http":
            await self.asgi(scope, receive, send)
        elif own_path(scope) == "/health/ready":
            stopping = {"ready": False, "error": "the server is stopping"}
            await JSONResponse(stopping, 503, {"connection": "close", "retry-after": "1"})(scope, receive, send)
        else:
            await self.asgi(scope, receive, _closing(send))


def is_asgi(found: Any) -> bool:
    """Whether `found` can be called with scope, receive and send. A build function takes no arguments."""
    try:
        inspect.signature(found).bind(None, None, None)
    except (TypeError, ValueError):
        return False
    return callable(found) and not isinstance(found, type)


def _closing(send: Send) -> Send:
    async def closing(message: Any) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
        await send(message)

    return closing
