"""Cross-origin requests (the Fetch standard's CORS): which sites' pages may ask this server, and read its answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from starlette.middleware.cors import CORSMiddleware

from mlpatterns.server.exchange import Receive, Scope, Send
from mlpatterns.settings_values import check_origin

__all__ = ["cross_origin"]

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
PRIVATE = b"x-mlp-"  # every header of ours that an answer has may be read by the page
EXPOSED = {b"inference-header-content-length", b"location", b"retry-after", b"www-authenticate", b"deprecation"}
DONE = "mlpatterns.cors"  # in the scope: an outer one has the request already

App = Callable[[Scope, Receive, Send], Awaitable[None]]


def cross_origin(app: App, origins: Sequence[str]) -> App:
    """`app` for pages of `origins`, of every site if that is `*`; as it is if there are none.

    Preflights are answered here, without a key; every other answer, errors too, says who may read it. Credentials of
    the browser go along to named origins only.

    Raises:
        SettingsError: an origin is none.
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
        allow_headers=("*",),  # those of pieces have any name; what they may do, the key decides
        allow_credentials=not every,
    )

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or DONE in scope:
            await app(scope, receive, send)
        else:
            await inside({**scope, DONE: True}, receive, send)

    return answer


async def _exposing(app: App, scope: Scope, receive: Receive, send: Send) -> None:
    """`app`, whose answers name the headers that a page may read beside the few that it always may."""

    async def named(message: Any) -> None:
        if message["type"] == "http.response.start":
            headers = [(name.lower(), value) for name, value in message.get("headers", ())]
            names = sorted({name for name, _ in headers if name.startswith(PRIVATE) or name in EXPOSED})
            if names:
                headers.append((b"access-control-expose-headers", b", ".join(names)))
            message = {**message, "headers": headers}
        await send(message)

    await app(scope, receive, named)
