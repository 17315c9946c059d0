"""How a training gets on, as it is told."""

from __future__ import annotations

import sys

import pytest

from mlpatterns.cli.progress import progress
from mlpatterns.training import Progress

REPORTS = (
    Progress("load", 0, 2), Progress("fit", 1, 2), Progress("fit", 1, 2, 0.25), Progress("fit", 1, 2, 0.5, "epoch 1/2"),
    Progress("fit", 1, 2, 1.0, "epoch 2/2"), Progress("done", 2, 2),
)  # fmt: skip


def test_elsewhere_than_on_a_terminal_it_is_a_line_a_step_and_one_for_what_a_step_tells(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with progress() as report:
        for one in REPORTS:
            report(one)
    told = capsys.readouterr()
    assert told.err.splitlines() == ["[1/2] load", "[2/2] fit", "    epoch 1/2", "    epoch 2/2"]
    assert told.out == ""


def test_on_a_terminal_a_bar_moves_and_what_a_step_tells_stays_above_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with progress() as report:
        for one in REPORTS:
            report(one)
    told = capsys.readouterr().err
    assert "fit: epoch 1/2" in told
    assert "2/2" in told
