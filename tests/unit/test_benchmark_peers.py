"""The parts of the comparisons with other servers that need none of those servers."""

from __future__ import annotations

from contextlib import suppress
from math import inf
from pathlib import Path

import numpy as np
import pytest
from benchmarks import heats, http2, messages
from benchmarks.calls import Call
from benchmarks.forms import LITSERVE, MLSERVER, Form, row_forms, tensor_forms
from benchmarks.heavy import heavy
from benchmarks.machine import this_machine
from benchmarks.models import ROW, answer_of, tiny
from benchmarks.peers import environments
from benchmarks.records import FULL, QUICK, Report
from benchmarks.results import Entry, render
from benchmarks.rounds import Check, Entrant, ratio
from benchmarks.servers import Command
from benchmarks.wrk import Load, Shot, checked
from hypothesis import given
from hypothesis import strategies as st


def _accepts(right: Check, body: bytes) -> bool:
    with suppress(ValueError, LookupError, TypeError):
        return right(body)
    return False


def shot(rate: float, *, cpu: float = 100.0) -> Shot:
    return Shot(requests=int(rate), seconds=1.0, p50=1000.0, p99=2000.0, refused=0, broken=0, cpu=cpu)


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No environment is made."""
    monkeypatch.setattr(environments, "FOLDER", tmp_path / "peers")
    return tmp_path


FRAMES = st.tuples(st.sampled_from([http2.DATA, http2.HEADERS]), st.integers(1, 2**31 - 1), st.binary(max_size=90))


@given(st.lists(FRAMES), st.integers(1, 40))
def test_frames_are_whole_however_the_bytes_arrive(sent: list[tuple[int, int, bytes]], size: int) -> None:
    stream = b"".join(http2.frame(kind, http2.END_STREAM, number, payload) for kind, number, payload in sent)
    buffer, found = bytearray(), []
    for start in range(0, len(stream), size):
        buffer += stream[start : start + size]
        found += list(http2.split(buffer))
    assert found == [(kind, http2.END_STREAM, number, payload) for kind, number, payload in sent]
    assert not buffer


def test_headers_are_spelt_once_and_then_numbered() -> None:
    headers = http2.Headers("/package.Service/Method", "127.0.0.1:9")
    first, second, third = (headers.frame(stream) for stream in (1, 3, 5))
    assert b"/package.Service/Method" in first
    assert len(second) == 9 + 6
    assert second[9:] == third[9:]


def test_a_name_that_does_not_fit_its_length_is_refused() -> None:
    with pytest.raises(ValueError, match="too long"):
        http2.Headers("/" + "x" * 200, "127.0.0.1:9")


@given(st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=300))
def test_what_a_message_carries_is_read_back(values: list[float]) -> None:
    array = np.array([values], dtype=np.float32)
    (found,) = messages.raw_outputs(messages.answer("iris", "probabilities", array))
    assert found.tolist() == array[0].tolist()


def test_a_request_is_what_protobuf_writes() -> None:
    """The bytes are spelt out here: field numbers and wire types of the public proto."""
    found = messages.request("m", "in", np.zeros((1, 300), dtype=np.float32), "out")
    tensor = b"\x0a\x02in\x12\x04FP32\x1a\x03\x01\xac\x02"
    assert found[:3] == b"\x0a\x01m"
    assert found[3 : 3 + 2 + len(tensor)] == b"\x2a" + bytes((len(tensor),)) + tensor
    assert b"\x32\x05\x0a\x03out\x3a\xb0\x09" + bytes(1200) == found[5 + len(tensor) :]


def test_a_refused_or_broken_request_ends_the_benchmark() -> None:
    good = shot(10)
    assert checked("here", good) is good
    with pytest.raises(RuntimeError, match="here: of 10 requests 1 were refused"):
        checked("here", Shot(10, 1.0, 1.0, 1.0, refused=1, broken=0))
    with pytest.raises(RuntimeError, match="and 2 connections broke"):
        checked("here", Shot(10, 1.0, 1.0, 1.0, refused=0, broken=2))


def test_who_answers_nothing_in_a_turn_is_infinitely_slower() -> None:
    assert ratio([shot(10)], [shot(0)]).median == inf
    assert ratio([shot(0)], [shot(10)]).median == 0


def test_losing_equal_and_winning_are_told_apart() -> None:
    shots = {"ours": [shot(100)], "slower": [shot(50)], "alike": [shot(98)], "same": [shot(100)], "faster": [shot(200)]}
    lost, equal = heats.verdicts("One row", "ours", shots)
    assert lost == "One row: faster answers 2.00 times as many requests."
    assert "no difference to alike (1.02) and same (1.00);" in equal


def test_who_wins_everywhere_has_nothing_to_confess() -> None:
    shots = {"ours": [shot(100)], "slower": [shot(50)], "ours, on another path": [shot(100)]}
    assert heats.verdicts("One row", "ours", shots) == []


def test_the_summary_has_a_line_a_server_with_our_ratio(tmp_path: Path) -> None:
    lines = heats.glances("row: iris", "ours", {"ours": [shot(1000)], "MLServer": [shot(100, cpu=900)]})
    assert [line.ratio for line in lines] == ["", "10.00"]
    assert [line.cpu_ratio for line in lines] == ["", "9.00"]
    report = Report(glances=tuple(lines))
    page = render({"peers": Entry(command="c", seconds=1, about="a", machine=this_machine(), report=report)})
    assert "## Other servers at a glance" in page
    assert "| row: iris | MLServer | 100 | 10.00 | 900 | 9.00 | 2.0 |" in page


def test_a_page_without_peers_has_no_summary() -> None:
    page = render({"pieces": Entry(command="c", seconds=1, about="a", machine=this_machine(), report=Report())})
    assert "at a glance" not in page


def test_a_quick_run_leaves_out_by_name_who_has_no_environment(nowhere: Path) -> None:
    found, notes = heats.present([MLSERVER, LITSERVE], QUICK)
    assert found == []
    assert notes[0].startswith("MLServer is left out: `python -m benchmarks.peers.environments`")
    assert notes[1].startswith("LitServe is left out")


@pytest.mark.slow
@pytest.mark.heavy  # it makes an environment
def test_what_cannot_be_installed_is_left_out_with_the_reason(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (nowhere / "mlserver.txt").write_text("./there-is-no-such-package.whl\n")
    monkeypatch.setattr(environments, "REQUIREMENTS", nowhere)
    found, (note,) = heats.present([MLSERVER], FULL)
    assert found == []
    assert note.startswith("MLServer is left out: mlserver cannot be installed: ERROR")


@pytest.mark.slow
@pytest.mark.heavy  # it makes an environment
def test_an_environment_counts_only_while_its_requirements_are_the_same(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (nowhere / "mlserver.txt").write_text("")
    monkeypatch.setattr(environments, "REQUIREMENTS", nowhere)
    assert environments.ensure("mlserver") is None
    python = environments.python_of("mlserver")
    assert python is not None
    assert python.exists()
    (nowhere / "mlserver.txt").write_text("mlserver==0\n")
    assert environments.python_of("mlserver") is None


def test_a_quick_run_takes_the_first_form_of_each_peer_unmeasured(tmp_path: Path) -> None:
    entrant = Entrant(Command((), {}), Load("/", b"", {}), lambda body: False)
    forms = [Form(peer, f"{peer} {n}", lambda model, workers: entrant) for peer in "abc" for n in (1, 2)]
    chosen, shots = heats.fastest(forms, ["a", "c"], tmp_path, 1, QUICK, tmp_path)
    assert {peer: form.name for peer, form in chosen.items()} == {"a": "a 1", "c": "c 1"}
    assert shots == {}


def test_every_form_is_asked_for_what_its_own_check_can_tell(tmp_path: Path) -> None:
    """A check that takes anything would let a peer answer rubbish."""
    model = tiny(tmp_path)
    for form in (*row_forms(1), *row_forms(2), *tensor_forms()):
        its = form.entrant(model, 1)
        assert not isinstance(its.load, Call)
        assert its.load.body
        assert not _accepts(its.right, b"{}"), form.name
        assert not _accepts(its.right, b""), form.name


def test_a_slow_model_still_answers_each_row_by_itself(tmp_path: Path) -> None:
    rows = [ROW, (6.0, 2.0, 5.0, 1.5)]
    found = answer_of(heavy(tmp_path, 0.01), rows)
    alone = np.concatenate([answer_of(tmp_path / "ms0.01.onnx", [row]) for row in rows])
    np.testing.assert_allclose(found, alone, atol=1e-4)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    assert abs(found[0] - found[1]).max() > 1e-3
