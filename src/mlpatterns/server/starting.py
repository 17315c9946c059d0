"""While the models load: what a server answers."""

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
    """An ASGI app before another that has not started: it says that the process is live and not ready, and 503 to all
    else. Connections are closed, so that the next request may go to another worker.

    Args:
        another_is_ready: whether another worker answers for this one.

    Attributes:
        started: the app behind has started, and answers for itself.
    """

    def __init__(self, app: Any, another_is_ready: Callable[[], bool]) -> None:
        self._app, self._another_is_ready = app, another_is_ready
        self._ended = asyncio.Event()
        self.started = False

    def end(self, *, started: bool) -> None:
        """The app behind has started, or never will."""
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
                # It came just before this worker saw that another is ready. Whoever asks may know that, so it must not
                # be refused; it waits, as one does that nobody has accepted yet.
                await self._ended.wait()
            answer = JSONResponse({"error": "the server is not ready yet"}, 503, LATER)
        await (self._app if self.started else answer)(scope, receive, send)
