"""An HTTP client for an app in this process, without a socket; and functions that wait until a condition is true."""

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

LOOK = 0.01  # seconds between checks


@asynccontextmanager
async def client(
    served: Predictor | Mapping[str, Predictor] | Callable[..., Any],
    *,
    headers: Mapping[str, str] = NOTHING,
    **options: Any,
) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client for `served`, without a socket. The app starts before the body and stops after it.

    Args:
        served: a predictor, several by name, a `build` function, or an ASGI app.
        headers: sent with each request.
        options: of `serve`; not used if `served` is an ASGI app.

    Raises:
        MissingExtra: httpx is not installed.
        Exception: any exception that the start of the app raised.
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
    """Waits until a GET of `path` answers 200: an app may not be ready before its background programs are.

    Args:
        http: a client of the app.
        path: the path to get.
        like: the JSON that the answer must also equal; None for any.
        seconds: the longest time to wait.

    Raises:
        TimeoutError: it did not happen within `seconds`.
    """
    async with asyncio.timeout(seconds):
        while True:
            answer = await http.get(path)
            if answer.status_code == 200 and (like is None or answer.json() == like):
                return
            await asyncio.sleep(LOOK)


async def job_ended(http: httpx.AsyncClient, job: Any, seconds: float = 25.0) -> dict[str, Any]:
    """The answer of `/job/ID` for a job of a JobQueue, at its end or after `seconds`; empty if the job is unknown.

    Args:
        http: a client of the app.
        job: its id.
        seconds: the longest time to wait for its end.
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
    """Calls `look` until its result is true, and returns the result. When the time is over, calls it once more.

    Args:
        look: an async function, which is called repeatedly.
        seconds: the longest time to wait.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not (found := await look()):  # noqa: ASYNC110 - no event reports the change
                await asyncio.sleep(LOOK)
            return found
    return await look()
