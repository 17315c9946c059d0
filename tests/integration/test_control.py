"""Shared state as an operator meets it: by default too, all workers of one `run` have it in common."""

from __future__ import annotations

import os
import signal
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
    value: int | None

class Counter(Wrapper):
    async def start(self, runtime):
        self.control = runtime.control
        self.operations = (
            Operation("seen", "query", "public", type(None), Seen, self.seen),
            Operation("add", "command", "token", type(None), Seen, self.add),
        )

    async def seen(self, _):
        document = await self.control.get("count")
        return Seen(os.getpid(), document.value if document else None)

    async def add(self, _):
        document = await self.control.get("count")
        value, revision = (document.value, document.revision) if document else (0, None)
        await self.control.put("count", value + 1, expected=revision, by="test")
        return Seen(os.getpid(), value + 1)

app = serve(lambda: Counter(CountingModel()))
"""
TOKEN = {"authorization": "Bearer secret"}


@pytest.mark.slow
@pytest.mark.parametrize("control", [None, "memory://"])
def test_the_workers_of_one_run_share_what_one_of_them_wrote(tmp_path: Path, control: str | None) -> None:
    (tmp_path / "app.py").write_text(APP)
    environ = {"MLPATTERNS_ADMIN_TOKEN": "secret", **({"MLPATTERNS_CONTROL": control} if control else {})}
    with serving("app.py", "--workers", "2", cwd=tmp_path, environ=environ) as server:
        status, added = server.ask("/add", {}, TOKEN)
        assert (status, added["value"]) == (200, 1)
        os.kill(added["worker"], signal.SIGSTOP)  # so that the other answers, as soon as it listens
        try:
            status, seen = server.ask("/seen")
        finally:
            os.kill(added["worker"], signal.SIGCONT)
        assert (status, seen["value"]) == (200, 1)
        assert seen["worker"] != added["worker"]
    assert not list(tmp_path.rglob("control.db*"))


def test_a_control_file_that_cannot_be_used_ends_the_start_with_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "control.db").write_text("this is no database")
    environ = {"MLPATTERNS_CONTROL": "sqlite:///control.db"}
    with (
        pytest.raises(
            AssertionError, match=r"the control file control\.db cannot be used: .*; set `control`"
        ) as caught,
        serving("app.py", cwd=tmp_path, environ=environ),
    ):
        raise RuntimeError("it started")
    assert "Traceback" not in str(caught.value)
