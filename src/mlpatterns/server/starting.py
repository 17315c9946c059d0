"""The answers of a server while its models load."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.responses import JSONResponse

from mlpatterns.server.exchange import Receive, Scope, Send
from mlpatterns.server.mounting import own_path

__all__ = ["Starting"]

LATER = {"connection": "close", "retry-after": "1"}
NOT_READY = "not ready yet: the models are loading"


class Starting:
    """An ASGI app that answers for another app until that one has started.

    It reports that the process is live and not ready, and answers 503 to all other requests. It closes connections, so
    that the next request can reach another worker.

    Args:
        another_is_ready: returns whether another worker is ready and answers requests.

    Attributes:
        started: whether the other app has started; then that app gets all requests.
    """

    def __init__(self, app: Any, another_is_ready: Callable[[], bool]) -> None:
        self._app, self._another_is_ready = app, another_is_ready
        self._ended = asyncio.Event()
        self.started = False

    def end(self, *, started: bool) -> None:
        """Ends the startup phase, and releases the requests that wait for it.

        Args:
            started: whether the other app has started; false if it will never start.
        """
        self.started = started
        self._ended.set()

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if self.started or scope["type"] != "http":
            answered: Awaitable[None] = self._app(scope, receive, send)
            return answered
        return self._answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = own_path(scope)
        if path in ("/health/live", "/v2/health/live"):
            answer = JSONResponse({"live": True}, headers={"connection": "close"})
        elif path in ("/health/ready", "/v2/health/ready"):
            answer = JSONResponse({"ready": False, "error": NOT_READY}, 503, LATER)
        else:
            if self._another_is_ready():
                # This worker accepted the connection just before it saw that another worker is ready. The client may
                # already know that the server is ready, so the request is not refused but waits until the app starts.
                await self._ended.wait()
            answer = JSONResponse({"error": "the server is not ready yet"}, 503, LATER)
        await (self._app if self.started else answer)(scope, receive, send)
