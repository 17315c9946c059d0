"""`mlpatterns.testing.process`: up when the body begins, ended whatever happens, and its last words when it fails."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from mlpatterns.testing import ServerProcess, free_port, process
from mlpatterns.user_errors import UserError

pytestmark = pytest.mark.integration

APP = """
import os
from mlpatterns import Service, serve
from mlpatterns.testing import CountingModel

app = serve(lambda: Service("part", CountingModel("whole", version=os.environ.get("VERSION", "1"))))
"""
DEAF = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("it will not start", flush=True)
time.sleep(600)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "deaf.py").write_text(DEAF)
    return tmp_path


def run(main: Coroutine[Any, Any, Any]) -> Any:
    async def bounded() -> Any:
        async with asyncio.timeout(100):
            return await main

    return asyncio.run(bounded())


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_it_answers_with_the_environment_and_flags_it_was_given_and_ends_with_the_body(folder: Path) -> None:
    port = free_port()

    async def main() -> ServerProcess:
        flags = ("--log-format", "json")
        async with process("app.py", *flags, service="part", environ={"VERSION": "7"}, cwd=folder, port=port) as server:
            assert (server.url, server.grpc, server.status) == (f"http://127.0.0.1:{port}", None, None)
            assert (await server.http.get("/v2/models/part")).json()["versions"] == ["7"]
            assert '"message"' in server.output
            assert 0.05 < server.cpu_seconds < 60
        return server

    server = run(main())
    assert server.status == 0
    assert gone(server.pid)
    assert f"app.py is on {server.url}" in server.output


def test_an_error_of_the_body_ends_it_too(folder: Path) -> None:
    pids = []

    async def main() -> None:
        async with process("app.py", cwd=folder) as server:
            pids.append(server.pid)
            raise ValueError("from the body")

    with pytest.raises(ValueError, match="from the body"):
        run(main())
    assert gone(pids[0])


def test_a_process_that_cannot_start_raises_its_last_words(folder: Path) -> None:
    async def main() -> None:
        async with process("app.py", service="prat", cwd=folder):
            raise AssertionError("it must not run")

    with pytest.raises(UserError, match=r"(?s)ended with status 2; its last output: .*did you mean 'part'\?"):
        run(main())


@pytest.mark.alone  # it writes its line within three seconds
@pytest.mark.heavy  # no other process works meanwhile
@pytest.mark.slow
def test_one_that_never_becomes_ready_and_ignores_the_signal_is_killed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlpatterns.server_process.STOP_PATIENCE", 0.2)

    async def main() -> None:
        async with process("deaf.py", cwd=folder, patience=3):
            raise AssertionError("it must not run")

    with pytest.raises(UserError, match=r"was not ready within 3 s; its last output: it will not start"):
        run(main())


def test_a_body_may_kill_it_and_start_another_in_its_place(folder: Path) -> None:
    async def main() -> None:
        async with process("app.py", cwd=folder) as first:
            assert await first.stop(signal.SIGKILL) == -signal.SIGKILL
        async with process("app.py", cwd=folder, port=first.port) as second:
            assert second.url == first.url

    run(main())


def test_a_cancelled_start_leaves_no_process(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[ServerProcess] = []

    async def wait(server: ServerProcess, *_: Any) -> None:
        started.append(server)
        await asyncio.Event().wait()

    monkeypatch.setattr(ServerProcess, "wait_until_ready", wait)

    async def main() -> None:
        async with process("app.py", cwd=folder):
            raise AssertionError("it must not run")

    async def cancelled() -> None:
        task = asyncio.create_task(main())
        while not started:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(cancelled())
    assert gone(started[0].pid)
