"""Every benchmark runs and yields what it promises. No speed is asserted: that is what `make bench` is for."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from services import unreachable

pytestmark = [pytest.mark.integration, pytest.mark.heavy]  # not slow too: `make chaos` is of faults

KEYS = {
    "hot_path": {"tiny_1"},
    "new_connections": {"turns"},
    "pieces": {"added_us"},
    "peers_hot_path": {"shots", "heats", "megabytes"},
    "peers_binary_tensor": {"shots", "heat"},
    "peers_grpc": {"shots", "heat"},
    "grpc_floods": {"seen"},
    "startup": {"import mlpatterns", "every public name of it", "start to ready, 1 worker", "PSS a worker, 1 worker"},
    "arena": {"weights", "one row"},
    "binary_tensor": {"shots"},
    "batch_rows": {"10"},
    "batch": {"sqlite"},
    "batcher": {"alone", "shots"},
    "job_queue": {"idle_ms", "rates"},
    "prediction_log": {"figures", "shots"},
    "hot_swap": {"late", "added"},
    "control_poll": {"polls"},
    "load_generator": {"seen"},
    "soak": {"up", "beside"},
    "experiment_false_positives": {"shares"},
    "drift_false_alarms": {"cases"},
}


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With wrk, and without other servers: their environments are large, and `make bench` makes them."""
    from benchmarks.peers import environments

    monkeypatch.setattr(environments, "FOLDER", tmp_path / "peers")
    if shutil.which("wrk") is None:
        unreachable("wrk", "it is not installed")


@pytest.mark.parametrize("name", KEYS)
def test_a_benchmark_runs_and_gives_its_numbers_and_page(name: str, tmp_path: Path) -> None:
    from benchmarks.__main__ import NAMES, main
    from benchmarks.results import load_entries

    assert set(KEYS) == set(NAMES)
    assert main([name, "--quick", "--out", str(tmp_path)]) == 0
    entry = load_entries(tmp_path / "results.json")[name]
    assert set(entry.report.raw) == KEYS[name]
    assert entry.report.tables[0].rows
    page = (tmp_path / "RESULTS.md").read_text()
    assert page.startswith("<!-- Made by `make bench`")
    assert f"## {name}" in page


def test_without_wrk_one_sentence_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmarks.__main__ import main

    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    assert main(["hot_path", "--quick"]) == 2
    assert "apt install wrk" in capsys.readouterr().err


def test_one_that_fails_takes_nothing_from_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from benchmarks import __main__ as command
    from benchmarks.machine import this_machine
    from benchmarks.records import Plan, Report
    from benchmarks.results import Entry, load_entries

    def measure(name: str, plan: Plan) -> Entry:
        if name == "hot_path":
            raise RuntimeError("the server did not start")
        return Entry(command="c", seconds=1, about="a", machine=this_machine(), report=Report())

    monkeypatch.setattr(command, "measure", measure)
    assert command.main(["hot_path", "pieces", "--quick", "--out", str(tmp_path)]) == 1
    assert "hot_path could not be finished: the server did not start" in capsys.readouterr().err
    assert set(load_entries(tmp_path / "results.json")) == {"pieces"}


def test_an_unknown_name_is_refused() -> None:
    from benchmarks.__main__ import main

    with pytest.raises(SystemExit) as ended:
        main(["hot_pth"])
    assert ended.value.code == 2
