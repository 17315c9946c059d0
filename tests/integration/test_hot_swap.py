"""HotSwap in real worker processes: swaps under constant load, and a registry that goes away."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import psutil
import pytest

import services
from integration.proxy import Proxy
from integration.swap_server import DONE, PATIENCE, TOKEN, TROUBLE, WORKERS, change, metric, swapping, until
from mlpatterns.cli import main
from mlpatterns.testing import ServerProcess
from releases import NAME, Releases

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.heavy]

SWAPS = 100 * int(os.environ.get("MLPATTERNS_CHAOS", "1"))  # 1,000 in `make chaos`
ASKERS, VERSIONS = 4, 4
MORE_MEMORY = 8 * 2**20  # bytes of both workers, after the first tenth of the swaps
HEAD = b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"


class Load:
    """Asks over connections of its own, without a pause, until it is told to stop: one number, times the version's."""

    def __init__(self, server: ServerProcess) -> None:
        self._server = server
        self.answers: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._stopped = False

    async def run(self) -> None:
        await asyncio.gather(*(self._ask_on(number) for number in range(ASKERS)))

    def stop(self) -> None:
        self._stopped = True

    async def _ask_on(self, number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._server.port)
        body = json.dumps({"data": [[number + 1.0]]}).encode()
        try:
            while not self._stopped:
                writer.write(HEAD % (len(body), body))
                await writer.drain()
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                said = await reader.readexactly(int(_header(head, "content-length")))
                version = _header(head, "x-mlp-version")
                self.answers[version] += 1
                if not head.startswith("HTTP/1.1 200") or json.loads(said) != _right(version, number + 1.0):
                    self.wrong.append(head + said.decode())
        finally:
            writer.close()


def _header(head: str, name: str) -> str:
    found = re.search(rf"^{name}: (.*)\r$", head, re.M | re.I)
    return found[1] if found else "0"


def _right(version: str, x: float) -> object:
    return {"prediction": [10.0 * int(version) * x]}


@pytest.fixture
def releases(tmp_path: Path) -> Releases:
    """Version n multiplies by 10 n; the first is the champion."""
    made = Releases(tmp_path)
    for number in range(1, VERSIONS + 1):
        made.publish(10.0 * number, promote=False)
    return made


def memory(server: ServerProcess) -> int:
    """Resident bytes of the workers."""
    workers = [each for each in psutil.Process(server.pid).children() if "worker_main" in " ".join(each.cmdline())]
    assert len(workers) == WORKERS
    return sum(each.memory_info().rss for each in workers)


def test_under_constant_load_no_swap_fails_a_request_or_mixes_versions_and_memory_comes_back(
    releases: Releases, capsys: pytest.CaptureFixture[str]
) -> None:
    async def main() -> None:
        async with swapping(releases) as server:
            load = Load(server)
            asking = asyncio.create_task(load.run())
            before = 0
            for number in range(SWAPS):
                await change(server, releases, 1 if number % 2 else 2 + number // 2 % (VERSIONS - 1))
                if number == SWAPS // 10:
                    before = memory(server)
            load.stop()
            await asking
            await asyncio.sleep(0.2)
            after = memory(server)
            done = await metric(server, DONE)
            with capsys.disabled():
                sys.stdout.write(
                    f"\n{done} swaps in {WORKERS} workers, {load.answers.total()} requests, {len(load.wrong)} wrong; "
                    f"memory {before / 2**20:.1f} MiB, then {after / 2**20:.1f} MiB\n"
                )
            assert load.wrong == []
            assert len(load.answers) == VERSIONS
            assert done >= WORKERS * SWAPS
            assert after <= before + MORE_MEMORY

    asyncio.run(main())


def test_one_call_rolls_back_every_worker_and_another_follows_again(
    releases: Releases, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLPATTERNS_ADMIN_TOKEN", TOKEN)

    async def run() -> None:
        async with swapping(releases) as server:
            await change(server, releases, 2)
            for flag, version in (("--rollback", 1), ("--follow", 2)):
                done = await metric(server, DONE)
                assert await asyncio.to_thread(main, ["swap", server.url, flag]) == 0
                assert json.loads(capsys.readouterr().out)["version"] == version
                await until(server, DONE, done + WORKERS)
                assert (await server.http.get("/swap")).json()["version"] == version

    asyncio.run(run())


@pytest.fixture(params=["postgresql", "mysql"])
def remote(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with services.database(request.param, tmp_path) as url:
        yield url


def test_an_outage_of_the_registry_leaves_the_model_serving_and_says_so_until_it_is_over(
    remote: str, tmp_path: Path
) -> None:
    from sqlalchemy import make_url

    url = make_url(remote)
    releases = Releases(tmp_path, remote)
    for factor in (10.0, 20.0):
        releases.publish(factor, promote=False)

    async def run() -> None:
        proxy = Proxy(url.host or "127.0.0.1", url.port or 0)
        proxy.open()
        through = Releases(tmp_path, url.set(port=proxy.port).render_as_string(hide_password=False))
        async with swapping(through) as server:
            await proxy.shut()
            await until(server, TROUBLE, WORKERS)
            health = (await server.http.get("/health/ready")).json()
            assert health == {
                "ready": True,
                "trouble": {NAME: "the registry does not answer; the version that serves goes on"},
            }
            releases.point(2)
            assert (await server.http.post("/predict", json={"data": [[1.0]]})).json() == _right("1", 1.0)
            proxy.open()
            await until(server, DONE, 2 * WORKERS)
            assert (await server.http.post("/predict", json={"data": [[1.0]]})).json() == _right("2", 1.0)
            end = monotonic() + PATIENCE
            while (health := (await server.http.get("/health/ready")).json()) != {"ready": True}:
                assert monotonic() < end, health  # it is said a moment after the swap
                await asyncio.sleep(0.02)
        await proxy.shut()  # after those who would come again, or one could be let in at the very end

    asyncio.run(run())
