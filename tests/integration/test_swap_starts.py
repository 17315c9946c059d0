"""Servers that start, and a control store that is killed: what real processes of one deployment make of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.redis_server import RedisServer, redis_server
from integration.swap_server import DONE, TOKEN, TROUBLE, metric, swapping, until
from mlpatterns.cli import main
from mlpatterns.testing import ServerProcess
from releases import NAME, Releases

pytestmark = [pytest.mark.integration, pytest.mark.slow]

SERVING = rf'mlpatterns_model_version{{piece="[^"]*{NAME}",version="%d"}}'
REFUSED = "version 2 is refused: its labels differ from those of version 1, so clients would break"


@pytest.fixture
def releases(tmp_path: Path) -> Releases:
    """Version 1 is the champion; version 2 has other labels, version 3 has not."""
    made = Releases(tmp_path)
    made.publish(10.0)
    made.publish(20.0, promote=False, labels=("a",))
    made.publish(30.0, promote=False)
    return made


async def version(server: ServerProcess) -> str:
    """That answers."""
    answer = await server.http.post("/predict", json={"data": [[1.0]]})
    assert answer.status_code == 200
    return str(answer.headers["x-mlp-version"])


async def health(server: ServerProcess) -> str:
    answer = await server.http.get("/health/ready")
    assert answer.status_code == 200
    return json.dumps(answer.json().get("trouble", ""))


def test_a_rescheduled_server_does_not_take_what_its_brothers_refused_and_force_takes_it_everywhere(
    releases: Releases, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLPATTERNS_ADMIN_TOKEN", TOKEN)

    async def run() -> None:
        async with swapping(releases, 1) as one, swapping(releases, 1) as two:
            releases.point(2)
            for brother in (one, two):
                await until(brother, TROUBLE, 1)
            async with swapping(releases, 1) as third:
                for each in (one, two, third):
                    assert await version(each) == "1"
                    assert REFUSED in await health(each)
                    assert await metric(each, TROUBLE) == 1
                assert await asyncio.to_thread(main, ["swap", third.url, "--to", "2"]) == 1
                assert REFUSED in capsys.readouterr().err
                assert await asyncio.to_thread(main, ["swap", third.url, "--to", "2", "--force"]) == 0
                for each in (one, two, third):
                    await until(each, SERVING % 2, 1)
                    assert await version(each) == "2"

    asyncio.run(run())


@pytest.fixture
def control(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as server:
        yield server


def test_without_the_control_store_servers_follow_the_alias_say_so_and_note_it_afterwards(
    releases: Releases, control: RedisServer
) -> None:
    async def run() -> None:
        async with swapping(releases, MLPATTERNS_CONTROL=control.url) as server:
            control.kill()
            done = await metric(server, DONE)
            releases.point(3)
            await until(server, DONE, done + 2)
            assert await version(server) == "3"
            while "the control store" not in await health(server):
                await asyncio.sleep(0.05)
            control.start()
            while await health(server) != '""':
                await asyncio.sleep(0.05)
            while (await server.http.get("/swap")).json()["previous"] != 1:
                await asyncio.sleep(0.05)

    asyncio.run(asyncio.wait_for(run(), 90))
