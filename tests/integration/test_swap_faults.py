"""Commands to a HotSwap in real worker processes: a store that is down or hangs, restarts, replicas, who did it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

import services
from integration.proxy import Proxy
from integration.swap_server import DONE, TOKEN, TROUBLE, WORKERS, change, metric, swapping, until
from mlpatterns.cli import main
from mlpatterns.interfaces import Document
from mlpatterns.stores.control_sqlite import SqliteControl
from mlpatterns.testing import ServerProcess
from releases import NAME, Releases
from s3_server import S3Server

pytestmark = [pytest.mark.integration, pytest.mark.slow]

ADMIN = {"authorization": f"Bearer {TOKEN}"}
LOADS_FOR_LONG = Path(__file__).parent / "app_that_loads_for_long.py"
SERVING = rf'mlpatterns_model_version{{piece="[^"]*{NAME}",version="%d"}}'


@pytest.fixture
def releases(tmp_path: Path) -> Releases:
    return published(Releases(tmp_path))


def published(made: Releases) -> Releases:
    """With versions 1 to 3, of which the first is the champion."""
    for number in (1, 2, 3):
        made.publish(10.0 * number, promote=False)
    return made


def served_at(home: Path, registry: str, artifacts: str) -> Releases:
    """A machine that has nothing yet."""
    home.mkdir()
    return Releases(home, registry, artifacts)


async def command(server: ServerProcess, name: str, body: Any = None) -> tuple[int, Any]:
    """(status, JSON) of a command."""
    answer = await server.http.post(f"/{name}", json=body, headers=ADMIN, timeout=30)
    return answer.status_code, answer.json()


async def state(server: ServerProcess) -> Any:
    return (await server.http.get("/swap")).json()


# ---- the control store ----


@pytest.fixture
def control() -> Iterator[str]:
    with services.redis_prefix() as url:
        yield url


def test_with_the_control_store_down_a_command_changes_no_worker_then_or_later(
    releases: Releases, control: str
) -> None:
    async def run() -> None:
        url = urlsplit(control)
        proxy = Proxy(url.hostname or "127.0.0.1", url.port or 6379)
        proxy.open()
        through = control.replace(url.netloc, f"127.0.0.1:{proxy.port}")
        async with swapping(releases, MLPATTERNS_CONTROL=through) as server:
            await proxy.shut()
            for _ in range(2 * WORKERS):  # so that it may reach each worker
                assert (await command(server, "swap", {"version": 2}))[0] == 503
            proxy.open()
            await asyncio.sleep(3)  # both have read the store again
            assert (await metric(server, DONE), await metric(server, SERVING % 1)) == (WORKERS, WORKERS)
            assert (await state(server))["pinned"] is None
            assert (await command(server, "swap", {"version": 2}))[0] == 200
            await until(server, SERVING % 2, WORKERS)
        await proxy.shut()

    asyncio.run(run())


# ---- what hangs ----


def test_a_rollback_ends_a_fetch_that_hangs_and_answers_at_once_and_so_does_the_alias(
    tmp_path: Path, s3: S3Server, s3_bucket: str
) -> None:
    async def run() -> None:
        releases = published(Releases(tmp_path / "trainer", artifacts=s3_bucket))
        here = served_at(tmp_path / "here", releases.settings.registry_url, s3_bucket)
        proxy = Proxy("127.0.0.1", s3.port)
        proxy.open()
        async with swapping(here, AWS_ENDPOINT_URL=f"http://127.0.0.1:{proxy.port}") as server:
            await change(server, releases, 2)
            await proxy.hang()
            releases.point(3)
            await until(server, TROUBLE, WORKERS)
            trouble = (await state(server))["trouble"]
            assert trouble == "where the files of models are does not answer; the version that serves goes on"
            assert (await command(server, "swap/rollback"))[1]["version"] == 1
            await until(server, SERVING % 1, WORKERS)
            assert (await state(server))["trouble"] == ""
            releases.point(2)
            assert (await command(server, "swap/follow"))[1]["version"] == 2
            await until(server, SERVING % 2, WORKERS)
            releases.point(3)
            await asyncio.sleep(0.5)  # it is being fetched
            releases.point(1)
            await until(server, SERVING % 1, WORKERS)
            assert (await server.http.get("/health/ready")).json() == {"ready": True}
        await proxy.shut()

    asyncio.run(run())


def test_what_served_here_serves_after_a_restart_without_registry_and_files(
    tmp_path: Path, s3: S3Server, s3_bucket: str
) -> None:
    async def run(registry: str) -> None:
        url = urlsplit(registry)
        proxies = Proxy(url.hostname or "", url.port or 5432), Proxy("127.0.0.1", s3.port)
        for proxy in proxies:
            proxy.open()
        of_trainer = published(Releases(tmp_path / "trainer", registry, s3_bucket))
        through = registry.replace(url.netloc.rpartition("@")[2], f"127.0.0.1:{proxies[0].port}")
        here = served_at(tmp_path / "here", through, s3_bucket)
        endpoint = f"http://127.0.0.1:{proxies[1].port}"
        async with swapping(here, AWS_ENDPOINT_URL=endpoint) as server:
            await change(server, of_trainer, 2)
        for proxy in proxies:
            await proxy.shut()
        async with swapping(here, AWS_ENDPOINT_URL=endpoint) as server:
            assert (await state(server))["version"] == 2
            await until(server, TROUBLE, WORKERS)
            said = (await server.http.get("/health/ready")).json()["trouble"][NAME]
            assert said == "the registry does not answer; the version that serves goes on"

    with services.database("postgresql", tmp_path) as registry:
        asyncio.run(run(registry))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_server_that_is_told_to_stop_while_a_version_loads_does_not_wait_for_it(
    releases: Releases, workers: int
) -> None:
    async def run() -> None:
        async with swapping(releases, workers, LOADS_FOR_LONG) as server:
            releases.point(2)
            while server.output.count("loaded times:2") < workers:
                await asyncio.sleep(0.02)
            assert (await state(server))["version"] == 1
            assert await server.stop() == 0

    asyncio.run(run())


# ---- restarts, replicas, the audit ----


@pytest.mark.parametrize("workers", [1, 2])
def test_a_rollback_survives_a_restart(
    releases: Releases, workers: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLPATTERNS_ADMIN_TOKEN", TOKEN)

    async def run() -> None:
        async with swapping(releases, workers) as server:
            releases.point(2)
            await until(server, SERVING % 2, workers)
            assert await asyncio.to_thread(main, ["swap", server.url, "--rollback"]) == 0
            assert json.loads(capsys.readouterr().out)["version"] == 1
        async with swapping(releases, workers) as server:
            assert await metric(server, SERVING % 1) == workers
            said = await state(server)
            assert (said["version"], said["pinned"], said["trouble"]) == (1, 1, "")

    asyncio.run(run())


def test_replicas_follow_each_others_commands_and_the_audit_names_who_gave_them(releases: Releases) -> None:
    async def run() -> None:
        async with swapping(releases) as one, swapping(releases) as other:
            for server, version in ((one, 2), (other, 3)):
                assert (await command(server, "swap", {"version": version}))[1]["version"] == version
                for each in (one, other):
                    await until(each, SERVING % version, WORKERS)
        newest = await history(releases, "swap")
        assert [(each.value["pin"], each.by) for each in newest] == [(3, "admin"), (2, "admin"), (None, "alias")]

    asyncio.run(run())


async def history(releases: Releases, key: str) -> list[Document[Any]]:
    """The versions of the document, newest first."""
    store = await SqliteControl.open(releases.settings.control_url)
    try:
        return await store.history(f"{NAME}/{key}")
    finally:
        await store.close()
