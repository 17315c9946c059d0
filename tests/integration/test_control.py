"""Shared state as an operator meets it: by default too, all workers of one `run` have it in common."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from integration.processes import serving

pytestmark = pytest.mark.integration

APP = """
import os

from msgspec import Struct

from mlpatterns import Operation, Wrapper, serve
from mlpatterns.testing import CountingModel

class Seen(Struct):
    worker: int
    value: int

class Counter(Wrapper):
    async def start(self, runtime):
        self.count = await runtime.shared("count", int, 0)
        self.operations = (
            Operation("seen", "query", "public", type(None), Seen, self.seen),
            Operation("add", "command", "token", type(None), Seen, self.add),
        )

    async def seen(self, _, caller):
        return Seen(os.getpid(), self.count.document.value)

    async def add(self, _, caller):
        changed = await self.count.change(lambda value: value + 1, by=caller.principal or "nobody")
        return Seen(os.getpid(), changed.value)

app = serve(lambda: Counter(CountingModel()))
"""
PATIENCE = 100  # looks, 0.1 s apart: a worker reads what another has written within a second
TOKEN = {"authorization": "Bearer secret"}


@pytest.mark.slow  # servers start as processes
@pytest.mark.parametrize("control", [None, "memory://"])
def test_the_workers_of_one_run_share_what_one_of_them_wrote(tmp_path: Path, control: str | None) -> None:
    (tmp_path / "app.py").write_text(APP)
    home = {"MLPATTERNS_HOME": ".mlpatterns"}  # not that of tests in this process
    environ = {**home, "MLPATTERNS_ADMIN_TOKEN": "secret", **({"MLPATTERNS_CONTROL": control} if control else {})}
    with serving("app.py", "--workers", "2", cwd=tmp_path, environ=environ) as server:
        status, added = server.ask("/add", {}, TOKEN)
        assert (status, added["value"]) == (200, 1)
        os.kill(added["worker"], signal.SIGSTOP)  # so that the other answers, as soon as it listens
        try:
            for _ in range(PATIENCE):
                status, seen = server.ask("/seen")
                if seen["value"] == 1:
                    break
                time.sleep(0.1)
        finally:
            os.kill(added["worker"], signal.SIGCONT)
        assert (status, seen["value"]) == (200, 1)
        assert seen["worker"] != added["worker"]
    kept = [path.relative_to(tmp_path) for path in tmp_path.rglob("control.db")]
    assert kept == ([] if control else [Path(".mlpatterns/control.db")])


@pytest.mark.slow  # servers start as processes
def test_with_a_control_file_that_cannot_be_used_it_is_not_ready_until_the_file_is_as_it_should_be(
    tmp_path: Path,
) -> None:
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "control.db").write_text("this is not a database")
    environ = {"MLPATTERNS_CONTROL": "sqlite:///control.db"}
    with serving("app.py", cwd=tmp_path, environ=environ, ready="/health/live") as server:
        for _ in range(PATIENCE):
            status, said = server.ask("/health/ready")
            assert status == 503
            if "loading" not in said["error"]:
                break
            time.sleep(0.1)
        assert said["error"] == "not ready yet: the control store has not answered yet"
        assert server.ask("/health/live")[0] == 200
        (tmp_path / "control.db").unlink()
        server.wait_until_ready()
        assert server.ask("/seen")[1]["value"] == 0
    assert "the control file control.db cannot be used" in server.output
    assert "Traceback" not in server.output
