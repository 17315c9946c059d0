"""Sessions: commands run as they are shown, and what is of one machine alone is not kept."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from docs.sessions import PORT, environment, free_port, read_session, record, serving, shown

SERVED = f"{sys.executable} -m http.server $MLPATTERNS_PORT --bind 127.0.0.1"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / ".mlpatterns"


def test_a_command_is_shown_with_the_port_and_the_paths_of_a_reader(home: Path) -> None:
    said = shown(f'echo 127.0.0.1:{PORT} "$PWD/a" "$MLPATTERNS_HOME/b"', environment(home), 43210)
    assert said.output == f"127.0.0.1:{PORT} a .mlpatterns/b\n"


def test_a_command_that_fails_is_not_recorded(home: Path) -> None:
    with pytest.raises(RuntimeError, match="`false` ended with 1"):
        shown("false", environment(home), free_port())
    with pytest.raises(RuntimeError, match="ended with 1"):
        shown("false | cat", environment(home), free_port())


def test_no_setting_of_who_records_reaches_a_session(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLPATTERNS_WORKERS", "7")
    assert shown("echo ${MLPATTERNS_WORKERS-none}", environment(home), free_port()).output == "none\n"


def test_a_server_answers_on_its_port_and_is_gone_afterwards(home: Path) -> None:
    port = free_port()
    with serving(SERVED, environment(home), port):
        assert "HTTP/1.0 200" in shown(f"curl -si localhost:{PORT}/", environment(home), port).output
    with pytest.raises(RuntimeError):
        shown(f"curl -s localhost:{PORT}/", environment(home), port)


def test_a_server_that_ends_is_told_of_with_what_it_said(home: Path) -> None:
    with (
        pytest.raises(RuntimeError, match="did not become ready:\nno luck"),
        serving("echo no luck", environment(home), 1),
    ):
        pass


def test_a_session_is_written_as_it_is_read(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With commands alone; the demo is one that there is no pattern for."""
    bin_folder = home.parent / "bin"
    bin_folder.mkdir()
    bin_folder.joinpath("mlpatterns").write_text('#!/bin/sh\necho "$@"\n', encoding="utf-8")
    bin_folder.joinpath("mlpatterns").chmod(0o755)
    monkeypatch.setattr("docs.sessions.environment", lambda home: {"PATH": f"{bin_folder}:/usr/bin:/bin",
                                                                  "MLPATTERNS_HOME": str(home)})  # fmt: skip
    head, said = read_session(record("none", ['echo \'{"job_id": "7"}\''], "", [], home))
    assert head.startswith("Recorded on ")
    assert [(each.command, each.output) for each in said] == [
        ('echo \'{"job_id": "7"}\'', '{"job_id": "7"}'),
        ("mlpatterns demo none", "demo none"),
    ]
