"""CORS (Fetch standard): which sites' pages may send requests to this server and read its answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from starlette.middleware.cors import CORSMiddleware

from mlpatterns.server.exchange import Receive, Scope, Send
from mlpatterns.settings_values import check_origin

__all__ = ["cross_origin"]

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
PRIVATE = b"x-mlp-"  # a page may read all our own headers of an answer
EXPOSED = {b"inference-header-content-length", b"location", b"retry-after", b"www-authenticate", b"deprecation"}
DONE = "mlpatterns.cors"  # a key in the scope: an outer app has already handled CORS for this request

App = Callable[[Scope, Receive, Send], Awaitable[None]]


def cross_origin(app: App, origins: Sequence[str]) -> App:
    """Wraps `app` so that pages of `origins` may use it; `*` is every site. Without origins it returns `app` itself.

    The wrapper answers preflight requests, which need no API key. It adds the CORS headers to every other answer,
    including errors. Browsers may send credentials only if the origins are named, not for `*`.

    Raises:
        SettingsError: one of `origins` is not an origin.
    """
    if not origins:
        return app
    for origin in origins:
        check_origin(origin)
    every = "*" in origins
    inside = CORSMiddleware(
        partial(_exposing, app),
        allow_origins=tuple(origins),
        allow_methods=METHODS,
        allow_headers=("*",),  # pieces may read headers of any name; access depends on the API key
        allow_credentials=not every,
    )

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or DONE in scope:
            await app(scope, receive, send)
        else:
            await inside({**scope, DONE: True}, receive, send)

    return answer


async def _exposing(app: App, scope: Scope, receive: Receive, send: Send) -> None:
    """Runs `app`, and adds to its answers the list of headers that a page may read besides those it may always read."""

    async def named(message: Any) -> None:
        if message["type"] == "http.response.start":
            headers = [(name.lower(), value) for name, value in message.get("headers", ())]
            names = sorted({name for name, _ in headers if name.startswith(PRIVATE) or name in EXPOSED})
            if names:
                headers.append((b"access-control-expose-headers", b", ".join(names)))
            message = {**message, "headers": headers}
        await send(message)

    await app(scope, receive, named)
