"""The pages of docs/patterns are what their maker writes now, of sessions that were recorded."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from docs.make_patterns import FOLDER, OUTPUTS, index, page, pages, told
from docs.pattern_code import composition
from docs.sessions import Said, read_session

from mlpatterns.catalog import System, systems

REPOSITORY = Path(__file__).parents[3]
EACH = pytest.mark.parametrize("system", systems(), ids=lambda system: system.name)


@EACH
def test_a_page_is_what_its_maker_writes(system: System) -> None:
    written = FOLDER.joinpath(f"{system.name}.md").read_text(encoding="utf-8")
    assert written == page(system, told()[system.name]), "run `python -m docs.make_patterns`"


def test_the_index_is_what_its_maker_writes() -> None:
    assert FOLDER.joinpath("index.md").read_text(encoding="utf-8") == index(), "run `python -m docs.make_patterns`"


def test_there_are_no_other_pages_and_no_other_sessions() -> None:
    assert set(FOLDER.glob("*.md")) == set(pages())
    assert {path.stem for path in OUTPUTS.iterdir()} == {system.name for system in systems()} == set(told())


@EACH
def test_a_session_proves_every_claim(system: System) -> None:
    _, said = read_session(OUTPUTS.joinpath(f"{system.name}.txt").read_text(encoding="utf-8"))
    assert said[-1].command == f"mlpatterns demo {system.name}"
    assert re.search(rf"^{system.name}: all \d+ claims hold$", said[-1].output, re.MULTILINE)


@EACH
def test_a_session_is_the_one_that_the_page_asks_for(system: System) -> None:
    """What was changed in docs/patterns.toml must be recorded anew."""
    more = told()[system.name]
    _, said = read_session(OUTPUTS.joinpath(f"{system.name}.txt").read_text(encoding="utf-8"))
    recorded = [each.command for each in said]
    wanted = [*more.before, *more.ask]
    assert [command for command in wanted if "{job_id}" not in command and command not in recorded] == []


@EACH
def test_no_session_tells_of_the_machine(system: System) -> None:
    text = OUTPUTS.joinpath(f"{system.name}.txt").read_text(encoding="utf-8")
    assert re.findall(r"/(?:tmp|root|home|work)/\S*", text) == []


@EACH
def test_the_figures_are_sections_of_the_results(system: System) -> None:
    results = REPOSITORY.joinpath("benchmarks", "RESULTS.md").read_text(encoding="utf-8")
    sections = set(re.findall(r"^## (\w+)$", results, re.MULTILINE))
    assert {anchor for _, anchor in told()[system.name].figures} <= sections


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
