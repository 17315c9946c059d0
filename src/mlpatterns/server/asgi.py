"""Runs any ASGI app as a server does: its lifespan, and a GET request without a socket."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from mlpatterns.user_errors import UserError

__all__ = ["get", "lifespan"]

log = logging.getLogger("mlpatterns")


async def get(app: Any, path: str, query: str = "") -> tuple[int, bytes]:
    """Sends a GET to the app without an HTTP client, and returns the status and body.

    It logs an exception that the app raises, and returns status 500.

    Args:
        path: the path, not percent-encoded.
        query: the query string, percent-encoded.
    """
    status, body = 500, bytearray()

    async def receive() -> dict[str, Any]:
        return messages.pop() if messages else await asyncio.get_running_loop().create_future()

    async def send(message: Any) -> None:
        nonlocal status
        status = message.get("status", status)
        body.extend(message.get("body", b""))

    messages: list[dict[str, Any]] = [{"type": "http.request", "body": b"", "more_body": False}]
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
        "path": path, "raw_path": path.encode(), "query_string": query.encode(), "root_path": "",
        "headers": [(b"host", b"localhost")], "client": ("127.0.0.1", 0), "server": ("localhost", 80),
    }  # fmt: skip
    try:
        await app(scope, receive, send)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        log.exception("GET %s failed: the app cancelled its own work", path)
        return 500, b""
    except Exception:
        log.exception("GET %s failed", path)
        return 500, b""
    return status, bytes(body)


@asynccontextmanager
async def lifespan(app: Any) -> AsyncIterator[None]:
    """Runs an ASGI app's lifespan around the body (ASGI lifespan protocol 2.0).

    Raises:
        UserError: the app reports that its startup or shutdown failed, and raises no error itself.
        RuntimeError: the app ended before its startup or shutdown was complete.
    """
    to_app: asyncio.Queue[dict[str, str]] = asyncio.Queue()
    from_app: asyncio.Queue[dict[str, str]] = asyncio.Queue()
    scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": {}}
    task = asyncio.ensure_future(app(scope, to_app.get, from_app.put))
    try:
        await _step(task, to_app, from_app, "startup")
        yield
        await _step(task, to_app, from_app, "shutdown")
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _step(
    task: asyncio.Future[Any], to_app: asyncio.Queue[dict[str, str]], from_app: asyncio.Queue[dict[str, str]], step: str
) -> None:
    await to_app.put({"type": f"lifespan.{step}"})
    reply = asyncio.ensure_future(from_app.get())
    await asyncio.wait([task, reply], return_when=asyncio.FIRST_COMPLETED)
    if not reply.done():
        reply.cancel()
        await task
        raise RuntimeError(f"the app ended before its {step} was complete")
    if reply.result()["type"] == f"lifespan.{step}.failed":
        await task  # most apps raise the error after this message; it has more details than the message
        raise UserError(reply.result().get("message", f"the app's {step} failed"))
