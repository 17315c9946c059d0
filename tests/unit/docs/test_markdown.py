"""The documents are Markdown that every renderer shows alike."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGES = sorted(
    {*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md"), *ROOT.glob("examples/*/*.md")}
)
SEPARATOR = re.compile(r"\|[ :|-]+")


def faults(text: str) -> Iterator[str]:
    """What is wrong outside of the blocks of code, each with the number of its line."""
    lines, code = ["", *text.splitlines(), ""], False
    for number, (before, line, after) in enumerate(zip(lines, lines[1:], lines[2:], strict=False), 1):
        code ^= line.lstrip().startswith("```")
        if code:
            continue
        if re.match(r"#{1,6} ", line) and before:
            yield f"{number}: no empty line before the heading"
        if line.startswith("|") and not before.startswith("|") and not SEPARATOR.fullmatch(after):
            yield f"{number}: no line of dashes below the head of the table"
        if line == before == "" and number > 1:
            yield f"{number}: two empty lines"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_headings_tables_and_empty_lines_are_written_so_that_they_are_seen(page: Path) -> None:
    assert list(faults(page.read_text(encoding="utf-8"))) == []


def test_each_fault_is_found() -> None:
    found = list(faults("# A\n\ntext\n## B\n\n| a |\n| 1 |\n\n\n```sh\n# no heading\n```\n"))
    assert [fault.partition(":")[0] for fault in found] == ["4", "6", "9"]
