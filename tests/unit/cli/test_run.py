"""run: what workers of their own are told."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from unit.cli.conftest import Command


@pytest.mark.parametrize(
    ("target", "before", "system"),
    [("web_single", None, "web_single"), ("web_single", "mine", "mine"), ("of_my_own.py", None, None)],
)
def test_workers_know_the_system_that_one_worker_alone_is(
    mlpatterns: Command, monkeypatch: pytest.MonkeyPatch, target: str, before: str | None, system: str | None
) -> None:
    """They load a pattern by its file; logs, leases and shared documents are kept under its name all the same."""
    Path("of_my_own.py").write_text(
        "from mlpatterns.testing import CountingModel\nbuild = CountingModel\napp = build()\n"
    )
    if before:
        monkeypatch.setenv("MLPATTERNS_SYSTEM", before)
    told: list[str | None] = []

    def supervise(*_: Any, **__: Any) -> None:
        told.append(os.environ.get("MLPATTERNS_SYSTEM"))

    monkeypatch.setattr("mlpatterns.launch.supervisor.supervise", supervise)
    assert mlpatterns("run", target, "--workers", "2").code == 0
    assert told == [system]


def test_workers_are_told_every_file(mlpatterns: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, str]] = []

    def supervise(target: str, *_: Any, title: str, **__: Any) -> None:
        told.append((target, title))

    monkeypatch.setattr("mlpatterns.launch.supervisor.supervise", supervise)
    assert mlpatterns("run", "a.onnx", "in/b.onnx", "--workers", "2").code == 0
    assert told == [("a.onnx\nin/b.onnx", "a.onnx, in/b.onnx")]
