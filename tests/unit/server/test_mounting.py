"""An app below a path of another: its routes, links and lifespan, in Starlette and in FastAPI, behind a proxy."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.routing import Mount

from mlpatterns.pieces.job_queue.job_queue import JobQueue
from mlpatterns.server.app import App, serve
from mlpatterns.server.asgi import lifespan
from mlpatterns.server.mounting import own_path
from mlpatterns.settings import Settings
from mlpatterns.testing import SlowModel
from mlpatterns.user_errors import CompositionError
from unit.server.doubles import iris

ROW = {"data": [[5.1, 3.5, 1.4, 0.2]]}


def in_starlette(models: App, **options: Any) -> Any:
    return Starlette(routes=[Mount("/ml", models)], lifespan=models.lifespan, **options)


def in_fastapi(models: App, **options: Any) -> Any:
    site = FastAPI(lifespan=models.lifespan, **options)
    site.mount("/ml", models)
    return site


def in_two(models: App, **options: Any) -> Any:
    inner = Starlette(routes=[Mount("/ml", models)])
    return Starlette(routes=[Mount("/api/{version}", inner)], lifespan=models.lifespan, **options)


OUTER = [in_starlette, in_fastapi]
Ask = Callable[[httpx.AsyncClient], Awaitable[None]]


def asked(ask: Ask, outer: Any, root_path: str = "") -> None:
    async def main() -> None:
        async with lifespan(outer):
            transport = httpx.ASGITransport(app=outer, root_path=root_path)
            async with httpx.AsyncClient(transport=transport, base_url="http://x") as http:
                await ask(http)

    asyncio.run(main())


async def works(http: httpx.AsyncClient, at: str, server: str) -> None:
    """Every kind of route, and what names routes, below `at`; clients reach it at `server`."""
    assert (await http.post(f"{at}/predict", json=ROW)).json()["prediction"]
    assert (await http.get(f"{at}/health/ready")).json() == {"ready": True}
    described = (await http.get(f"{at}/v2/models/iris")).json()
    assert (await http.get(f"{at}/v2/models/iris/versions/{described['versions'][0]}/ready")).status_code == 200
    assert (await http.get(f"{at}/metrics")).status_code == 200
    document = (await http.get(f"{at}/openapi.json")).json()
    assert document["servers"] == [{"url": server}]
    assert "/predict" in document["paths"]
    for path, root in ((f"{at}/docs", False), (f"{at}/", True)):
        page = await http.get(path)
        assert (page.status_code, "data-at-root" in page.text) == (200, root)
        assert 'action="/' not in page.text
        assert 'href="/' not in page.text
    missing = await http.get(f"{at}/nothing")
    assert (missing.status_code, missing.json()) == (404, {"error": "there is nothing at this path"})


@pytest.mark.parametrize("outer", OUTER)
@pytest.mark.parametrize("prefix", ["", "/proxy", "/ml"])
def test_it_works_below_a_path_and_behind_a_proxy(outer: Any, prefix: str) -> None:
    """As uvicorn's --root-path has it: `path` has the prefix too."""

    async def ask(http: httpx.AsyncClient) -> None:
        await works(http, f"{prefix}/ml", f"{prefix}/ml")

    asked(ask, outer(serve(iris)), prefix)


@pytest.mark.parametrize("outer", OUTER)
@pytest.mark.parametrize("prefix", ["/proxy", "/proxy/", "/m"])
def test_it_works_where_the_framework_alone_was_told_of_the_proxy(outer: Any, prefix: str) -> None:
    """As `FastAPI(root_path=…)` has it: `root_path` has the prefix, `path` has not."""
    site = outer(serve(iris))

    async def told(scope: Any, receive: Any, send: Any) -> None:
        await site({**scope, "root_path": prefix}, receive, send)

    async def ask(http: httpx.AsyncClient) -> None:
        await works(http, "/ml", f"{prefix}/ml")

    asked(ask, told)


@pytest.mark.parametrize("prefix", ["", "/proxy"])
def test_it_works_in_one_that_is_mounted_itself(prefix: str) -> None:
    async def ask(http: httpx.AsyncClient) -> None:
        await works(http, f"{prefix}/api/v1/ml", f"{prefix}/api/v1/ml")

    asked(ask, in_two(serve(iris)), prefix)


@pytest.mark.parametrize("outer", OUTER)
def test_one_whose_lifespan_was_not_run_says_so(outer: Any) -> None:
    models = serve(iris)
    app = outer(models)

    async def main() -> None:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://x") as http:
            for answer in (await http.post("/ml/predict", json=ROW), await http.get("/ml/docs")):
                assert answer.status_code == 503
                assert "must run its lifespan, FastAPI(lifespan=app.lifespan)" in answer.json()["error"]
        async with models.running():
            pass
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://x") as http:
            assert (await http.get("/ml/docs")).json() == {"error": "the server is stopping"}

    asyncio.run(main())


def test_several_apps_run_within_one_lifespan() -> None:
    first, second = serve(iris), serve(iris)

    @asynccontextmanager
    async def both(outer: Any) -> Any:
        async with AsyncExitStack() as stack:
            for app in (first, second):
                await stack.enter_async_context(app.running())
            yield

    async def ask(http: httpx.AsyncClient) -> None:
        for at in ("/a", "/b"):
            assert (await http.post(f"{at}/predict", json=ROW)).status_code == 200

    asked(ask, Starlette(routes=[Mount("/a", first), Mount("/b", second)], lifespan=both))


@pytest.mark.parametrize("outer", OUTER)
def test_a_failed_start_is_the_outer_apps_too(outer: Any) -> None:
    def broken() -> Any:
        raise OSError("no model here")

    async def main() -> None:
        async with lifespan(outer(serve(broken))):
            pass

    with pytest.raises(CompositionError, match=r"build\(\) failed: OSError: no model here"):
        asyncio.run(main())


@pytest.mark.parametrize("outer", OUTER)
def test_where_a_job_is_told_of_is_below_the_mount(outer: Any, tmp_path: Path) -> None:
    async def ask(http: httpx.AsyncClient) -> None:
        answer = await http.post("/proxy/ml/predict", json=ROW)
        assert answer.headers["location"].startswith("/proxy/ml/job/")
        assert (await http.get(answer.headers["location"])).status_code == 200

    asked(ask, outer(serve(lambda: JobQueue(iris()), settings=Settings(home=tmp_path))), "/proxy")


@pytest.mark.parametrize("outer", OUTER)
def test_deadlines_and_limits_hold_behind_middleware_of_the_outer_app(outer: Any) -> None:
    async def passing(request: Any, call_next: Any) -> Any:
        return await call_next(request)

    async def ask(http: httpx.AsyncClient) -> None:
        assert (await http.post("/ml/predict", json=ROW)).status_code == 200
        late = await http.post("/ml/predict", json=ROW, headers={"x-request-timeout-ms": "20"})
        assert (late.status_code, late.json()["error"]) == (504, "the deadline passed before the answer was ready")
        assert (await http.post("/ml/predict", content=b"x" * 5000)).status_code == 413

    models = serve(lambda: SlowModel(seconds=0.1), settings=Settings(max_body_bytes=1000))
    asked(ask, outer(models, middleware=[Middleware(BaseHTTPMiddleware, dispatch=passing)]))


segments = st.lists(st.sampled_from(["a", "ab", "ml", "ml2", "x y"]), max_size=3).map(
    lambda parts: "".join(f"/{part}" for part in parts)
)


@given(segments, segments, segments)
def test_the_own_path_is_what_is_below_the_mount(proxy: str, mount: str, rest: str) -> None:
    assert own_path({"path": proxy + mount + rest, "root_path": proxy + mount}) == (
        rest or ("/" if proxy + mount else "")
    )
    assert own_path({"path": f"{proxy}{mount}{rest}/", "root_path": f"{proxy}{mount}/"}) == f"{rest}/"
