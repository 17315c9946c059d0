"""An HTTP client of an app in this process, without a socket; and waiting until the app has what a test looks for."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from mlpatterns.context import NOTHING
from mlpatterns.predictor import Predictor
from mlpatterns.server.asgi import lifespan
from mlpatterns.user_errors import MissingExtra

if TYPE_CHECKING:
    import httpx

__all__ = ["client", "job_ended", "until", "until_ready"]

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
