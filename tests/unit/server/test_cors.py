"""Pages of other sites: who may ask, what they may read, and that errors tell them as answers do."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from starlette.middleware import Middleware

from mlpatterns.errors import ErrorCode, error_for
from mlpatterns.server.app import serve
from mlpatterns.server.cors import cross_origin
from mlpatterns.settings import Settings
from mlpatterns.testing import CountingModel, FlakyModel, client
from mlpatterns.user_errors import SettingsError
from unit.server.doubles import iris
from unit.server.operations_piece import OperationsPiece

ROW = {"data": [[5.1, 3.5, 1.4, 0.2]]}
SITE = "https://a.example"
FROM = {"origin": SITE}


def run(served: Any, *requests: tuple[str, str, Mapping[str, Any]], **settings: Any) -> list[httpx.Response]:
    async def main() -> list[httpx.Response]:
        async with client(served, settings=Settings(cors_origins=(SITE,), **settings)) as http:
            return [await http.request(method, path, **fields) for method, path, fields in requests]

    return asyncio.run(main())


def asked(path: str, method: str = "POST", headers: str = "content-type") -> tuple[str, str, Mapping[str, Any]]:
    """A preflight."""
    said = {"access-control-request-method": method, "access-control-request-headers": headers}
    return "OPTIONS", path, {"headers": {**FROM, **said}}


def test_a_page_of_a_named_site_may_ask_and_read_all_that_we_say() -> None:
    answer = run(iris(), ("POST", "/predict", {"json": ROW, "headers": FROM}))[0]
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == SITE
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert "origin" in answer.headers["vary"].lower()
    exposed = answer.headers["access-control-expose-headers"].split(", ")
    assert {name for name in answer.headers if name.startswith("x-mlp-")} == set(exposed) > {"x-mlp-prediction-id"}


def test_other_sites_are_not_told_that_they_may() -> None:
    given = run(
        iris(),
        ("POST", "/predict", {"json": ROW, "headers": {"origin": "https://b.example"}}),
        ("POST", "/predict", {"json": ROW}),
        ("OPTIONS", "/predict", {"headers": {"origin": "null", "access-control-request-method": "POST"}}),
    )
    assert [answer.status_code for answer in given] == [200, 200, 400]
    assert not any("access-control-allow-origin" in answer.headers for answer in given)
    assert "origin" in given[0].headers["vary"].lower()  # or a cache would hand one site's answer to another


WANTED = "authorization,x-api-key,x-request-timeout-ms,inference-header-content-length,user-id,content-encoding"


@pytest.mark.parametrize("path", ["/predict", "/v2/models/iris/infer", "/health", "/nothing"])
def test_a_preflight_needs_no_key_and_lets_through_what_we_read(path: str) -> None:
    answer = run(iris(), asked(path, headers=WANTED), api_keys={"alice": "k"})[0]
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == SITE
    assert set(WANTED.split(",")) <= set(answer.headers["access-control-allow-headers"].lower().split(","))
    assert "POST" in answer.headers["access-control-allow-methods"]


def test_a_request_that_is_no_preflight_meets_the_usual_answer() -> None:
    assert run(iris(), ("OPTIONS", "/predict", {"headers": FROM}))[0].status_code == 405


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (("POST", "/predict", {"json": ROW, "headers": FROM}), 401),
        (("POST", "/nothing", {"headers": FROM | {"x-api-key": "k"}}), 404),
        (("GET", "/predict", {"headers": FROM | {"x-api-key": "k"}}), 405),
        (("POST", "/predict", {"content": b"x" * 2000, "headers": FROM | {"x-api-key": "k"}}), 413),
        (("POST", "/predict", {"content": b"x", "headers": FROM | {"x-api-key": "k", "content-encoding": "br"}}), 415),
    ],
)
def test_what_is_refused_can_be_read_too(request_: Any, status: int) -> None:
    answer = run(iris(), request_, api_keys={"alice": "k"}, max_body_bytes=1000)[0]
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (status, SITE)
    assert answer.json()["error"]
    assert "x-mlp-prediction-id" in answer.headers["access-control-expose-headers"]


@pytest.mark.parametrize("code", [ErrorCode.INTERNAL, ErrorCode.OVERLOADED, ErrorCode.RATE_LIMITED, ErrorCode.DEADLINE])
def test_faults_too(code: ErrorCode) -> None:
    model = FlakyModel(error=error_for(code, "told so", retry_after=1))
    answer = run(model, ("POST", "/predict", {"json": ROW, "headers": FROM}))[0]
    assert answer.json() == {"error": "told so"}
    assert answer.headers["access-control-allow-origin"] == SITE
    exposed = answer.headers["access-control-expose-headers"]
    assert ("retry-after" in exposed) == ("retry-after" in answer.headers)
    assert "x-mlp-code" in exposed


def test_operations_and_pages_too() -> None:
    for answer in run(
        OperationsPiece(CountingModel()), ("GET", "/job/1", {"headers": FROM}), ("GET", "/docs", {"headers": FROM})
    ):
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, SITE)


def test_every_site_may_be_meant_but_then_without_the_browsers_credentials() -> None:
    async def main() -> httpx.Response:
        async with client(iris(), settings=Settings(cors_origins=("*",))) as http:
            assert (await http.options("/predict", headers=asked("/")[2]["headers"])).status_code == 200
            return await http.post("/predict", json=ROW, headers=FROM)

    answer = asyncio.run(main())
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in answer.headers


def test_by_default_no_page_of_another_site_may_ask() -> None:
    async def main() -> None:
        async with client(iris()) as http:
            answer = await http.post("/predict", json=ROW, headers=FROM)
            assert not any(name.startswith("access-control") for name in answer.headers)
            assert (await http.options("/predict", headers=asked("/")[2]["headers"])).status_code == 405

    asyncio.run(main())


def test_answers_of_middleware_of_ones_own_have_it_as_well() -> None:
    class Teapot:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 418, "headers": []})
            await send({"type": "http.response.body", "body": b""})

    app = serve(iris, middleware=[Middleware(Teapot)], settings=Settings(cors_origins=(SITE,)))
    answer = run(app, ("GET", "/", {"headers": FROM}))[0]
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (418, SITE)


def test_two_around_each_other_say_it_once() -> None:
    async def main() -> None:
        app = serve(iris, settings=Settings(cors_origins=(SITE,)))
        async with app.running():
            transport = httpx.ASGITransport(cross_origin(app, ["*"]))
            async with httpx.AsyncClient(transport=transport, base_url="http://x") as http:
                answer = await http.post("/predict", json=ROW, headers=FROM)
        names = [name for name, _ in answer.headers.multi_items()]
        assert answer.headers["access-control-allow-origin"] == "*"
        assert sum(name.startswith("access-control") for name in names) == 2

    asyncio.run(main())


def test_what_is_no_origin_is_refused_however_it_is_given() -> None:
    with pytest.raises(SettingsError, match="is not an origin"):
        cross_origin(serve(iris), ["a.example"])
