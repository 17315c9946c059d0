"""An ASGI app that answers every request after the same time, for measurements of load generators."""

from __future__ import annotations

import asyncio
from typing import Any

__all__ = ["SECONDS", "app"]

SECONDS = 0.003
START = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}
BODY = {"type": "http.response.body", "body": b"ok"}


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Sleeps, and says ok."""
    if scope["type"] == "lifespan":
        for step in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{step}.complete"})
        return
    await asyncio.sleep(SECONDS)
    await send(START)
    await send(BODY)
