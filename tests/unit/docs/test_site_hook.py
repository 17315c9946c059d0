"""Links of a page lead to where their targets are on the site."""

from __future__ import annotations

import pytest

pytest.importorskip("mkdocs", reason="MkDocs, which builds the site, is not installed")

from docs.site_hook import INDEX, ROOT_PAGES, index, with_links

from mlpatterns.catalog import GROUPS, systems

ON_SITE = {"docs/guide.md": "guide.md", "docs/patterns/batch.md": "patterns/batch.md", **ROOT_PAGES}


@pytest.mark.parametrize(
    ("source", "link", "led"),
    [
        ("README.md", "docs/guide.md#asking", "guide.md#asking"),
        ("docs/patterns/batch.md", "../guide.md", "../guide.md"),
        ("docs/patterns/batch.md", "../../benchmarks/RESULTS.md#batch", "../benchmarks/RESULTS.md#batch"),
        ("docs/guide.md", "../README.md", "index.md"),
        ("docs/guide.md", "../examples/production_classifier", "https://r.example/examples/production_classifier"),
        ("docs/guide.md", "nowhere.md", "nowhere.md"),  # which the strict build refuses
        ("docs/guide.md", "#asking", "#asking"),
        ("docs/guide.md", "https://a.example/b", "https://a.example/b"),
    ],
)
def test_a_link_leads_to_the_place_on_the_site(source: str, link: str, led: str) -> None:
    place = ON_SITE[source]
    assert with_links(f"[a]({link})", source, place, ON_SITE, "https://r.example") == f"[a]({led})"


def test_the_page_of_the_patterns_leads_to_each_by_group() -> None:
    made = index()
    assert INDEX == "patterns/index.md"
    assert [f"## {group.capitalize()}" in made for group in GROUPS] == [True] * len(GROUPS)
    assert [system.name for system in systems() if f"[{system.name}]({system.name}.md)" not in made] == []


def test_code_is_left_alone() -> None:
    text = "```md\n[a](docs/guide.md)\n```\n"
    assert with_links(text, "README.md", "index.md", ON_SITE, "https://r.example") == text
