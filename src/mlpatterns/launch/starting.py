"""While the models load: what a worker answers, and whether it takes connections at all."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

from starlette.responses import JSONResponse

from mlpatterns.server.exchange import Receive, Scope, Send
from mlpatterns.server.mounting import own_path

__all__ = ["Peers", "Starting"]

LATER = {"connection": "close", "retry-after": "1"}
NOT_READY = "not ready yet: the models are loading"


class Peers:
    """The workers of one `run`, by a file for each that is ready, in a folder that they share.

    A worker that loads takes connections only while no other is ready: what it answers is worth less than an answer.

    Args:
        folder: None for a worker without others.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def ready(self) -> bool:
        """Whether another is."""
        own = str(os.getpid())
        return self._folder is not None and any(file.name != own for file in self._folder.iterdir())

    def join(self) -> None:
        """This worker is ready."""
        if self._folder is not None:
            (self._folder / str(os.getpid())).touch()

    def remove(self, worker: int) -> None:
        """The worker with this process id is gone."""
        if self._folder is not None:
            (self._folder / str(worker)).unlink(missing_ok=True)


class Starting:
    """An ASGI app before another that has not started: it says that the process is live and not ready, and 503 to all
    else. Connections are closed, so that the next request may go to another worker.

    Attributes:
        started: the app behind has started, and answers for itself.
    """

    def __init__(self, app: Any, peers: Peers) -> None:
        self._app, self._peers = app, peers
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
            if self._peers.ready():
                # It came just before this worker saw that another is ready. Whoever asks may know that, so it must not
                # be refused; it waits, as one does that nobody has accepted yet.
                await self._ended.wait()
            answer = JSONResponse({"error": "the server is not ready yet"}, 503, LATER)
        await (self._app if self.started else answer)(scope, receive, send)
