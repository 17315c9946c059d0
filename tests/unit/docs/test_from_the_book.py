"""docs/from-ml-system-in-actions.md has every system that is in the book, by its path there and by our name."""

from __future__ import annotations

import re

import pytest
from docs.pattern_page import HERE

from mlpatterns.catalog import System, get, systems

PAGE = HERE.joinpath("from-ml-system-in-actions.md").read_text(encoding="utf-8")
OF_THE_BOOK = [system for system in systems() if system.header.book]
SECTIONS = re.findall(r"^### (\w+)\n\n((?:(?!^###).*\n?)*)", PAGE, re.MULTILINE)
ROWS = re.findall(r"^\| `(chapter\S+)` \| ([^|]+) \| \[`mlpatterns [^`]+`\]\(#(\w+)\) \|$", PAGE, re.MULTILINE)


def test_every_system_has_a_row_in_the_order_of_the_catalogue() -> None:
    assert [(path, name) for path, _, name in ROWS] == [(system.header.book, system.name) for system in OF_THE_BOOK]


def test_every_system_has_a_section_that_says_what_was_and_what_is() -> None:
    assert [name for name, _ in SECTIONS] == [system.name for system in OF_THE_BOOK]
    assert [name for name, text in SECTIONS if not ("- **There**: " in text and "- **Here**: " in text)] == []


@pytest.mark.parametrize("system", OF_THE_BOOK, ids=lambda system: system.name)
def test_the_books_name_is_understood(system: System) -> None:
    assert get(system.header.book.rpartition("/")[2]) == system
