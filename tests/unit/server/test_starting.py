"""What a worker answers while its app starts, beside others or alone."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from mlpatterns.server.starting import Starting


async def app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"from the app"})


def asking(starting: Starting, root_path: str = "") -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(starting, root_path=root_path), base_url="http://server")


@pytest.mark.parametrize("root", ["", "/below"])
def test_until_the_app_has_started_it_is_live_not_ready_and_refuses_the_rest(root: str) -> None:
    async def main() -> None:
        starting = Starting(app, lambda: False)
        async with asking(starting, root) as http:
            for path, status in (("/health/live", 200), ("/health/ready", 503), ("/predict", 503), ("/", 503)):
                answer = await http.get(root + path)
                assert (answer.status_code, answer.headers["connection"]) == (status, "close")
                assert ("retry-after" in answer.headers) == (status == 503)
            starting.end(started=True)
            assert (await http.get("/health/live")).text == "from the app"

    asyncio.run(main())


@pytest.mark.parametrize("started", [True, False])
def test_beside_a_worker_that_is_ready_a_request_waits_for_the_app(started: bool) -> None:
    async def main() -> None:
        starting = Starting(app, lambda: True)
        async with asking(starting) as http:
            request = asyncio.create_task(http.get("/predict"))
            await asyncio.sleep(0.01)
            assert not request.done()
            assert (await http.get("/health/live")).status_code == 200
            starting.end(started=started)
            assert (await request).status_code == (200 if started else 503)

    asyncio.run(main())
