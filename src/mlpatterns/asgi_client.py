"""Asking an ASGI app without a socket, by a GET or as `mlpatterns.testing` does, also until it has what is asked for;
and running its lifespan."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from mlpatterns.context import NOTHING
from mlpatterns.errors import MissingExtra, UserError
from mlpatterns.predictor import Predictor

if TYPE_CHECKING:
    import httpx

__all__ = ["client", "get", "job_ended", "lifespan", "until", "until_ready"]

log = logging.getLogger("mlpatterns")

T = TypeVar("T")

LOOK = 0.01  # seconds between two looks


@asynccontextmanager
async def client(
    served: Predictor | Mapping[str, Predictor] | Callable[..., Any],
    *,
    headers: Mapping[str, str] = NOTHING,
    **options: Any,
) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client of `served`, without a socket; the app starts before and stops after.

    Args:
        served: a predictor, several by name, a `build` function, or an ASGI app.
        headers: sent with each request.
        options: of `serve`, unless `served` is an app already.

    Raises:
        MissingExtra: httpx is not installed.
        Exception: what the app's start raised.
    """
    try:
        import httpx
    except ImportError as error:
        raise MissingExtra("the test client", "test") from error
    app = _app(served, options)
    async with lifespan(app):
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://testserver", headers=dict(headers)) as http:
            yield http


async def until_ready(
    http: httpx.AsyncClient, path: str = "/health/ready", like: Any = None, seconds: float = 30.0
) -> None:
    """Waits until `path` is a 200: an app may wait for what its own programs tell.

    Args:
        http: a client of the app.
        path: that is asked.
        like: the JSON that it must be, too.
        seconds: until no more is waited.

    Raises:
        TimeoutError: it is not within `seconds`.
    """
    async with asyncio.timeout(seconds):
        while True:
            answer = await http.get(path)
            if answer.status_code == 200 and (like is None or answer.json() == like):
                return
            await asyncio.sleep(LOOK)


async def job_ended(http: httpx.AsyncClient, job: Any, seconds: float = 25.0) -> dict[str, Any]:
    """What `/job/ID` tells of a job of a JobQueue, at its end or after `seconds`; nothing if it is unknown.

    Args:
        http: a client of the app.
        job: its id.
        seconds: to wait for its end.
    """
    answer = await http.get(f"/job/{job}", params={"wait": seconds}, timeout=seconds + 15)
    found: dict[str, Any] = answer.json().get(job, {}) if answer.status_code == 200 else {}
    return found


def _app(served: Any, options: Mapping[str, Any]) -> Any:
    from mlpatterns.server.app import serve

    if isinstance(served, Mapping) or hasattr(served, "predict"):
        return serve(lambda: served, **options)
    if len(inspect.signature(served).parameters) == 3:  # scope, receive, send
        return served
    return serve(served, **options)


async def get(app: Any, path: str, query: str = "") -> tuple[int, bytes]:
    """The status and body of a GET. Needs no HTTP client; what the app raises is logged, and a 500 as from any server.

    Args:
        path: plain, not percent-encoded.
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
    except Exception:
        log.exception("GET %s failed", path)
        return 500, b""
    return status, bytes(body)


async def until(look: Callable[[], Awaitable[T]], seconds: float = 30.0) -> T:
    """What `look` gives, once that is something; or what it gives last, when the time is over.

    Args:
        look: is called again and again.
        seconds: until no more is waited.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not (found := await look()):  # noqa: ASYNC110 - there is nobody who would tell
                await asyncio.sleep(LOOK)
            return found
    return await look()


@asynccontextmanager
async def lifespan(app: Any) -> AsyncIterator[None]:
    """Runs an ASGI app's lifespan around the body (ASGI lifespan protocol 2.0)."""
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
        await task  # most raise what failed, which says more than the message
        raise UserError(reply.result().get("message", f"the app's {step} failed"))
