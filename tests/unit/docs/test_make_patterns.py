"""The pages of docs/patterns are what their maker writes now, of sessions that are recorded."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from docs.make_patterns import main
from docs.pattern_code import composition
from docs.pattern_page import FOLDER, OUTPUTS, page
from docs.pattern_sessions import More, Plan, more, planned
from docs.sessions import Said, read_session
from msgspec.structs import replace

from mlpatterns.catalog import System, get, systems

REPOSITORY = Path(__file__).parents[3]
EACH = pytest.mark.parametrize("system", systems(), ids=lambda system: system.name)


@EACH
def test_a_page_is_what_its_maker_writes(system: System) -> None:
    written = FOLDER.joinpath(f"{system.name}.md").read_text(encoding="utf-8")
    assert written == page(system, more().get(system.name, More()).figures), "run `python -m docs.make_patterns`"


def test_there_are_no_other_pages_and_no_other_sessions() -> None:
    names = {system.name for system in systems()}
    assert {path.stem for path in FOLDER.glob("*.md")} == names
    assert {path.stem for path in OUTPUTS.iterdir()} == names
    assert set(more()) <= names


@EACH
def test_a_session_proves_every_claim(system: System) -> None:
    _, said = read_session(OUTPUTS.joinpath(f"{system.name}.txt").read_text(encoding="utf-8"))
    assert said[-1].command == f"mlpatterns demo {system.name}"
    assert re.search(rf"^{system.name}: all \d+ claims hold$", said[-1].output, re.MULTILINE)


@EACH
def test_a_session_is_the_one_that_the_page_asks_for(system: System) -> None:
    """What was changed in the commands of a header, or in docs/patterns.toml, must be recorded anew."""
    plan = planned(system, more().get(system.name, More()))
    _, said = read_session(OUTPUTS.joinpath(f"{system.name}.txt").read_text(encoding="utf-8"))
    demo = f"mlpatterns demo {system.name}"
    wanted = [command for command in (*plan.before, plan.run, *plan.ask, demo) if command]
    recorded = [each.command for each in said]
    assert len(recorded) == len(wanted)
    assert [wish for wish, was in zip(wanted, recorded, strict=True) if not recorded_as(wish, was)] == []


def recorded_as(wanted: str, recorded: str) -> bool:
    """Whether they are one command; the job of an answer stands where it was asked for."""
    begin, _, end = wanted.partition("{job_id}")
    return recorded == wanted or ("{job_id}" in wanted and recorded.startswith(begin) and recorded.endswith(end))


@EACH
def test_no_session_tells_of_the_machine(system: System) -> None:
    text = OUTPUTS.joinpath(f"{system.name}.txt").read_text(encoding="utf-8")
    assert re.findall(r"/(?:tmp|root|home|work)/\S*", text) == []


@EACH
def test_the_figures_are_sections_of_the_results(system: System) -> None:
    results = REPOSITORY.joinpath("benchmarks", "RESULTS.md").read_text(encoding="utf-8")
    sections = set(re.findall(r"^## (\w+)$", results, re.MULTILINE))
    assert {anchor for _, anchor in more().get(system.name, More()).figures} <= sections


def test_without_a_table_a_session_is_the_commands_of_the_header() -> None:
    trained = "mlpatterns train iris_sklearn_svc"
    asked = ["mlpatterns predict http://127.0.0.1:8000 '[5.1, 3.5, 1.4, 0.2]'", "curl http://127.0.0.1:8000/breaker"]
    assert planned(get("circuit_breaker"), More()) == Plan([trained], "mlpatterns run circuit_breaker", asked)
    other = More(run="mlpatterns run circuit_breaker --workers 2", ask=[])
    assert planned(get("circuit_breaker"), other) == Plan([trained], "mlpatterns run circuit_breaker --workers 2", [])


def test_without_a_table_the_session_of_a_training_has_no_server() -> None:
    assert planned(get("iris_sklearn_svc"), More()) == Plan(
        ["mlpatterns train iris_sklearn_svc --test-size 0.3 --seed 0"], "", []
    )


def test_a_page_of_a_system_in_no_book_speaks_of_none() -> None:
    system = get("web_single")
    made = page(replace(system, header=replace(system.header, book="", mercari="")))
    assert "In Japanese: " in made
    assert "In the book" not in made
    assert "mercari" not in made


def test_the_name_of_no_system_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--record", "web_singel"])
    assert "did you mean 'web_single'" in capsys.readouterr().err


def test_a_session_that_fails_leaves_the_old_one_and_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> str:
        raise RuntimeError("`mlpatterns demo web_single` ended with 1")

    monkeypatch.setattr("docs.make_patterns.record", fail)
    old = OUTPUTS.joinpath("web_single.txt").read_bytes()
    assert main(["--record", "web_single"]) == 1
    assert OUTPUTS.joinpath("web_single.txt").read_bytes() == old
    assert capsys.readouterr().err == "web_single: `mlpatterns demo web_single` ended with 1\n"


def test_a_system_without_a_session_is_named_with_what_to_do(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for system in systems()[1:]:
        tmp_path.joinpath(f"{system.name}.txt").touch()
    monkeypatch.setattr("docs.make_patterns.OUTPUTS", tmp_path)
    assert main([]) == 1
    name = systems()[0].name
    assert capsys.readouterr().err == f"there is no session of {name}; record it with --record {name}\n"


def test_a_session_is_read_as_it_was_written() -> None:
    text = "# Recorded today.\n$ one\nfirst\n\nsecond\n\n$ two\n\n"
    assert read_session(text) == ("Recorded today.", [Said("one", "first\n\nsecond"), Said("two", "")])


def test_what_composes_a_pattern_is_cut_out_of_it() -> None:
    source = """
from a import used, unused
from b import other

LIMIT = 3
UNUSED = 4


def build():
    return used(LIMIT)


app = other(build)


async def demo():
    return unused(UNUSED)
"""
    kept = ("from a import used", "from b import other", "", "LIMIT = 3", "", "", "def build():",
            "    return used(LIMIT)",
            "", "", "app = other(build)")  # fmt: skip
    assert composition(source).splitlines() == list(kept)
