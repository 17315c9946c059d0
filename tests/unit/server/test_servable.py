"""Any ASGI app can be run: it starts, drains and stops as ours do."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from mlpatterns.launch.target import load_pattern, load_target
from mlpatterns.server.app import App
from mlpatterns.server.servable import PlainApp, is_asgi
from mlpatterns.user_errors import UserError

OWN = """
events = []

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        for _ in range(2):
            step = (await receive())["type"]
            events.append(step)
            await send({"type": f"{step}.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"mine"})
"""


async def asked(app: PlainApp, path: str) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://testserver") as http:
        return await http.get(path)


def test_a_plain_asgi_app_of_a_file_is_started_drained_and_stopped(tmp_path: Path) -> None:
    (tmp_path / "plain_app_of_mine.py").write_text(OWN)
    app = load_target(str(tmp_path / "plain_app_of_mine.py"))
    assert isinstance(app, PlainApp)

    async def life() -> None:
        async with app.running():
            answer = await asked(app, "/health/ready")
            assert (answer.text, answer.headers.get("connection")) == ("mine", None)
            app.draining = True
            assert (await asked(app, "/health/ready")).status_code == 503
            answer = await asked(app, "/")
            assert (answer.text, answer.headers["connection"]) == ("mine", "close")

    asyncio.run(life())
    import sys

    assert sys.modules["plain_app_of_mine"].events == ["lifespan.startup", "lifespan.shutdown"]


def test_the_sentence_of_an_app_that_does_not_start_reaches_who_runs_it() -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise UserError("the registry is down")

    async def life() -> None:
        async with PlainApp(broken).running():
            raise AssertionError

    with pytest.raises(UserError, match=r"^the registry is down$"):
        asyncio.run(life())


def test_a_build_function_is_told_from_an_asgi_app() -> None:
    assert is_asgi(load_target("model_db"))
    assert not is_asgi(lambda: None)
    assert not is_asgi(App)
    assert not is_asgi("text")


def test_model_db_predicts_nothing_and_says_what_to_do_instead() -> None:
    from mlpatterns.catalog import get

    with pytest.raises(UserError, match="start it with `mlpatterns run model_db`"):
        load_pattern(get("model_db"))
