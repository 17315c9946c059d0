"""The CPU time of a server process where there is no /proc, as on macOS."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlpatterns.server_process import ServerProcess


@pytest.mark.parametrize(
    ("printed", "seconds"),
    [("00:00:02\n", 2), ("0:01.50\n", 1.5), ("01:02:03\n", 3723), ("2-01:00:01\n", 2 * 86_400 + 3601)],
)
def test_the_cpu_time_is_read_in_every_form_of_ps(
    printed: str, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ps(*_: Any, **__: Any) -> Any:
        return SimpleNamespace(stdout=printed)

    monkeypatch.setattr(Path, "exists", lambda path: False)
    monkeypatch.setattr(subprocess, "run", ps)
    monkeypatch.setattr(ServerProcess, "pid", 1)
    assert ServerProcess.cpu_seconds.fget(object.__new__(ServerProcess)) == seconds  # type: ignore[attr-defined]
