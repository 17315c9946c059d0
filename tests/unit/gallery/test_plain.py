"""A system of `up` whose app is not one of `serve`: the model DB, and any other ASGI app."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Awaitable, Callable, Mapping
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mlpatterns.catalog import systems
from mlpatterns.gallery import plain as gallery_plain
from mlpatterns.gallery.app import Gallery
from mlpatterns.model_db.api.app import ModelDB
from mlpatterns.server.app import App, serve
from mlpatterns.server.pages.diagram_nodes import Node
from mlpatterns.server.servable import PlainApp
from mlpatterns.settings import Settings
from mlpatterns.user_errors import MissingExtra, UserError
from unit.gallery.test_app import article
from unit.server.doubles import iris

API = "/model_db/v0.1/api"
KEY = {"x-api-key": "k"}
FILES = {"sha256": "a" * 64, "manifest_sha256": "b" * 64, "artifact_url": "s3://elsewhere/shapes/one"}
LIST = {"responses": {"200": {"content": {"application/json": {"schema": {"type": "array"}}}}}}


def asked(
    ask: Callable[[httpx.AsyncClient, Gallery], Awaitable[None]], served: Any, root_path: str = "", **others: App
) -> None:
    """Runs `ask` against a gallery in which `served` is model_db, beside `others`."""

    async def main() -> None:
        gallery = Gallery({"model_db": PlainApp(served), **others}, systems())
        async with gallery.running():
            transport = httpx.ASGITransport(app=gallery, root_path=root_path, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as http:
                await ask(http, gallery)

    asyncio.run(main())


async def register(http: httpx.AsyncClient, *names: str, mount: str = "", **options: Any) -> None:
    """Models of one project, each with a version, through the routes below the mount."""
    project = await http.post(f"{mount}{API}/projects", json={"project_name": "flowers & <b>"}, **options)
    for name in names:
        body = {"project_id": project.json()["project_id"], "model_name": name}
        assert (await http.post(f"{mount}{API}/models", json=body, **options)).status_code == 200
        made = await http.post(f"{mount}{API}/models/name/{name}/versions", json=FILES, **options)
        assert made.json()["number"] == 1


async def card(http: httpx.AsyncClient, mount: str = "") -> str:
    return article((await http.get(f"{mount}/")).text, "model_db")


def routes(shown: str) -> list[str]:
    return [unescape(route) for route in re.findall(r"<option[^>]*>GET /([^<]+)<", shown)]


def values(shown: str, parameter: str) -> list[str]:
    chooser = shown.partition(f'data-parameter="{parameter}"')[2].partition("</select>")[0]
    return [unescape(value) for value in re.findall(r"<option>([^<]+)<", chooser)]


# ---- the model DB ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "/behind"])
def test_the_model_db_works_below_its_name_with_its_document_its_page_and_its_health(
    tmp_path: Path, prefix: str
) -> None:
    async def ask(http: httpx.AsyncClient, _: Gallery) -> None:
        for path in ("/model_db", "/model_db/"):
            assert (await http.get(prefix + path)).headers["location"] == f"{prefix}/model_db/docs"
        page = (await http.get(f"{prefix}/model_db/docs")).text
        assert 'href="openapi.json"' in page
        assert 'data-path="v0.1/api/models/all"' in page  # the script resolves it against the page's own address
        document = await http.get(f"{prefix}/model_db/openapi.json")
        assert document.json()["servers"] == [{"url": f"{prefix}/model_db"}]
        assert (await http.get(f"{prefix}/model_db/health/ready")).json() == {"ready": True}
        await register(http, "iris", mount=prefix)
        assert [row["model_name"] for row in (await http.get(f"{prefix}{API}/models/all")).json()] == ["iris"]
        lost = await http.get(f"{prefix}/model_db/nowhere")
        assert lost.json() == {
            "error": f"there is nothing at this path; {prefix}/model_db/openapi.json lists what there is"
        }

    asked(ask, ModelDB(Settings(home=tmp_path)), prefix)


def test_its_card_has_need_diagram_documents_and_a_form_of_the_routes_that_read(tmp_path: Path) -> None:
    async def ask(http: httpx.AsyncClient, _: Gallery) -> None:
        await register(http, "iris", "shapes")
        shown = await card(http)
        assert "Know what each model was trained from" in shown
        assert "server (SQLite (projects by project_name (models by model_name, with model_tags (experiments " in shown
        assert re.findall(r'href="(model_db/[^"]+)"', shown) == [
            "model_db/docs", "model_db/openapi.json", "model_db/health/ready"
        ]  # fmt: skip
        offered = routes(shown)
        assert {"v0.1/api/projects/all", "v0.1/api/models/project-name/{project_name}",
                "v0.1/api/models/name/{model_name}/versions"} <= set(offered)  # fmt: skip
        assert [route for route in offered if "_id}" in route or "{number}" in route] == []
        assert values(shown, "model_name") == ["iris", "shapes"]
        for route in offered:
            for name in re.findall(r"{(\w+)}", route):
                route = route.replace(f"{{{name}}}", values(shown, name)[0])
            assert (await http.get(f"/model_db/{route}")).status_code == 200, route

    asked(ask, ModelDB(Settings(home=tmp_path)))


def test_its_card_says_what_is_registered_as_text(tmp_path: Path) -> None:
    async def ask(http: httpx.AsyncClient, _: Gallery) -> None:
        assert "Contents now" not in await card(http)
        await register(http, *(f"model_{number:02}" for number in range(14)))
        shown = await card(http)
        assert "projects: flowers &amp; &lt;b&gt;; models: model_00, model_01, " in shown
        assert "model_11 and 2 more<" in shown

    asked(ask, ModelDB(Settings(home=tmp_path)))


def test_without_models_the_routes_that_need_a_name_are_left_out(tmp_path: Path) -> None:
    async def ask(http: httpx.AsyncClient, _: Gallery) -> None:
        offered = routes(await card(http))
        assert offered[:3] == ["v0.1/api/projects/all", "v0.1/api/models/all", "v0.1/api/experiments/all"]
        assert not [route for route in offered if "{" in route]

    asked(ask, ModelDB(Settings(home=tmp_path)))


def test_with_api_keys_the_page_tells_nobody_what_is_registered(tmp_path: Path) -> None:
    async def ask(http: httpx.AsyncClient, _: Gallery) -> None:
        await register(http, "secret_model", headers=KEY)
        text = (await http.get("/")).text
        assert "secret_model" not in text
        assert '<input id="key" type="password"' in text
        assert "x-api-key: $API_KEY" in article(text, "model_db")

    asked(ask, ModelDB(Settings(home=tmp_path, api_keys={"me": "k"})))


def test_its_commands_stay_behind_the_admin_token(tmp_path: Path) -> None:
    async def ask(http: httpx.AsyncClient, _: Gallery) -> None:
        await register(http, "iris")
        assert (await http.delete(f"{API}/models/name/iris/versions/1")).status_code == 401
        assert (await http.put(f"{API}/models/name/iris/aliases/champion", json={"number": 1})).status_code == 401
        token = {"x-admin-token": "secret"}
        assert (await http.delete(f"{API}/models/name/iris/versions/1", headers=token)).status_code == 204

    asked(ask, ModelDB(Settings(home=tmp_path, admin_token="secret")))


def test_it_drains_with_the_others(tmp_path: Path) -> None:
    async def ask(http: httpx.AsyncClient, gallery: Gallery) -> None:
        gallery.draining = True
        assert (await http.get("/model_db/health/ready")).status_code == 503
        answer = await http.get(f"{API}/models/all")
        assert (answer.status_code, answer.headers["connection"]) == (200, "close")

    asked(ask, ModelDB(Settings(home=tmp_path)))


# ---- what cannot run here ----------------------------------------------------------------------------------------


def test_without_its_extra_the_others_run_and_the_page_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "fastapi", None)

    async def ask(http: httpx.AsyncClient, _: Gallery) -> None:
        sentence = "the model DB needs an extra: pip install 'mlpatterns[registry]'"
        assert (await http.get("/web_single/health/ready")).status_code == 200
        assert (await http.get("/health/ready")).json() == {"ready": True, "trouble": {"model_db": sentence}}
        shown = unescape(await card(http))
        assert f"does not run here: {sentence}" in shown
        assert "<form" not in shown
        assert 'href="model_db/' not in shown
        answer = await http.get("/model_db/docs")
        assert (answer.status_code, answer.json()) == (503, {"error": f"model_db does not run here: {sentence}"})

    asked(ask, ModelDB(Settings(home=tmp_path)), web_single=serve(iris))


def test_where_the_registry_is_a_service_the_page_says_which_one_to_ask() -> None:
    async def ask(http: httpx.AsyncClient, _: Gallery) -> None:
        assert "the registry is the service at http://registry.example" in await card(http)

    asked(ask, ModelDB(Settings(registry="http://registry.example")), web_single=serve(iris))


def test_if_nothing_can_run_here_the_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fastapi", None)

    async def ask(http: httpx.AsyncClient, _: Gallery) -> None:
        raise AssertionError

    with pytest.raises(MissingExtra, match="registry"):
        asked(ask, ModelDB(Settings(home=tmp_path)))


def test_an_app_that_does_not_start_is_a_failure_of_the_whole() -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise UserError("the database is down")

    async def ask(http: httpx.AsyncClient, _: Gallery) -> None:
        raise AssertionError

    with pytest.raises(UserError, match="the database is down"):
        asked(ask, broken, web_single=serve(iris))


# ---- any other ASGI app ------------------------------------------------------------------------------------------


def plain(paths: Mapping[str, Any], **answers: Callable[[], Response]) -> Starlette:
    """An app with an OpenAPI document of `paths`, and `answers` by path with `_` for `/`."""

    def route(path: str, answer: Callable[[], Response]) -> Route:
        async def endpoint(_: Request) -> Response:
            return answer()

        return Route(path, endpoint)

    document = {"openapi": "3.1.0", "paths": paths}
    named = {f"/{path.replace('_', '/')}": answer for path, answer in answers.items()}
    named["/openapi.json"] = lambda: JSONResponse(document)
    return Starlette(routes=[route(path, answer) for path, answer in named.items()])


def test_an_app_that_says_nothing_of_itself_is_mounted_and_drawn_as_in_its_header() -> None:
    async def bare(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            status = 200 if scope["path"] == f"{scope['root_path']}/" else 404
            await Response(f"mine below {scope['root_path']}", status)(scope, receive, send)

    async def ask(http: httpx.AsyncClient, _: Gallery) -> None:
        assert (await http.get("/model_db")).headers["location"] == "/model_db/"
        assert (await http.get("/model_db/")).text == "mine below /model_db"
        shown = await card(http)
        assert "trainers ──▶ projects" in shown
        assert "<form" not in shown
        assert (await http.get("/health/ready")).json() == {"ready": True}

    async def ended(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for _ in range(2):
                await send({"type": f"{(await receive())['type']}.complete"})
        else:
            await bare(scope, receive, send)

    asked(ask, ended)


def test_what_an_app_is_made_of_is_asked_once_and_not_at_every_look_at_the_page() -> None:
    class Sketched:
        def __init__(self) -> None:
            self.asked, self._app = 0, plain({})

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await self._app(scope, receive, send)

        def drawing(self) -> Node:
            self.asked += 1
            return Node("server", f"drawn {self.asked} times")

    async def ask(http: httpx.AsyncClient, _: Gallery) -> None:
        for _look in range(2):
            assert "drawn 1 times" in await card(http)

    asked(ask, Sketched())


def test_one_that_is_not_ready_is_named_and_says_why() -> None:
    def waiting() -> Response:
        return JSONResponse({"error": "the database <does> not answer"}, 503)

    async def ask(http: httpx.AsyncClient, _: Gallery) -> None:
        answer = await http.get("/health/ready")
        assert (answer.status_code, answer.json()["error"]) == (503, "not ready yet: model_db")
        shown = await card(http)
        assert "not ready: the database &lt;does&gt; not answer" in shown
        assert 'href="model_db/health/ready"' in shown

    asked(ask, plain({}, health_ready=waiting), web_single=serve(iris))


def test_one_that_was_ready_and_is_no_longer_is_trouble_and_does_not_take_the_others_with_it() -> None:
    answers = [JSONResponse({"ready": True}), JSONResponse({"error": "the database does not answer"}, 503)]

    async def ask(http: httpx.AsyncClient, gallery: Gallery) -> None:
        assert (await http.get("/health/ready")).json() == {"ready": True}
        answers.pop(0)
        down = await http.get("/health/ready")
        trouble = {"model_db": "the database does not answer"}
        assert (down.status_code, down.json()) == (200, {"ready": True, "trouble": trouble})
        gallery.draining = True
        assert (await http.get("/health/ready")).status_code == 503

    asked(ask, plain({}, health_ready=lambda: answers[0]), web_single=serve(iris))


def test_one_that_hangs_or_fails_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gallery_plain, "PATIENCE", 0.05)

    async def hanging(_: Request) -> Response:
        await asyncio.Event().wait()
        raise AssertionError

    def failing() -> Response:
        raise RuntimeError("a bug")

    async def ask(http: httpx.AsyncClient, _: Gallery) -> None:
        assert "not ready: no answer in 0.05 seconds" in await card(http)
        assert (await http.get("/health/ready")).json() == {"ready": False, "error": "not ready yet: model_db"}

    app = plain({"/failing": {"get": LIST}}, failing=failing)
    app.routes.append(Route("/health/ready", hanging))
    asked(ask, app)

    async def ask_again(http: httpx.AsyncClient, _: Gallery) -> None:
        assert routes(await card(http)) == ["failing"]

    asked(ask_again, plain({"/failing": {"get": LIST}}, failing=failing))


def test_one_too_busy_to_say_its_routes_at_the_start_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gallery_plain, "PATIENCE", 0.05)
    busy = True

    class Busy:
        def __init__(self, app: Starlette) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            if busy and scope["type"] == "http":
                await asyncio.Event().wait()
            await self.app(scope, receive, send)

    async def ask(http: httpx.AsyncClient, _: Gallery) -> None:
        nonlocal busy
        assert "<form" not in await card(http)
        busy = False
        assert routes(await card(http)) == ["shops"]

    asked(ask, Busy(plain({"/shops": {"get": LIST}}, shops=lambda: JSONResponse([]))))


def test_one_that_cancels_its_own_work_is_a_fault_of_that_one() -> None:
    """As a thread pool that closes does: a CancelledError that nobody asked for must not end the page's request."""

    def cancelled() -> Response:
        raise asyncio.CancelledError

    async def ask(http: httpx.AsyncClient, _: Gallery) -> None:
        assert routes(await card(http)) == ["cancelled"]

    asked(ask, plain({"/cancelled": {"get": LIST}}, cancelled=cancelled))


def test_only_names_of_lists_are_to_choose_from_and_what_needs_more_is_left_out() -> None:
    paths = {
        "/shops": {"get": LIST, "post": {}},
        "/shops/{shop_name}": {"get": {}},
        "/shops/{shop_id}/doors": {"get": LIST},
        "/search": {"get": {"parameters": [{"name": "q", "in": "query", "required": True}]}},
        "/odd": {"get": LIST},
        "/health/ready": {"get": {}},
    }

    async def ask(http: httpx.AsyncClient, _: Gallery) -> None:
        shown = await card(http)
        assert routes(shown) == ["shops", "shops/{shop_name}", "odd"]
        assert values(shown, "shop_name") == ["a/b & c", "d"]

    shops = [{"shop_id": "7", "shop_name": "a/b & c"}, {"shop_name": "d"}, {"shop_name": None}, {"shop_name": ""}, 5]
    asked(ask, plain(paths, shops=lambda: JSONResponse(shops), odd=lambda: JSONResponse("no list")))
