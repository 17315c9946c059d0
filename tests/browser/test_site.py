"""The site of the documents, opened from a folder as a reader without a network does."""

from __future__ import annotations

from pathlib import Path
from time import monotonic, sleep

import pytest

from browser.chromium import Browser
from docs_site import build_site

pytestmark = pytest.mark.slow  # MkDocs renders forty pages, then Chromium opens them


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_site(tmp_path_factory.mktemp("docs") / "site")


def test_the_search_finds_a_pattern_and_nothing_is_asked_of_a_network(site: Path, browser: Browser) -> None:
    browser.requests.clear()
    browser.complaints.clear()
    browser.open(f"file://{site}/index.html")
    browser.run("document.querySelector('[data-md-component=search-query]').focus()")
    browser.run(
        "(field => { field.value = 'circuit breaker'; field.dispatchEvent(new Event('keyup', {bubbles: true}));"
        " field.dispatchEvent(new Event('input', {bubbles: true})); })"
        "(document.querySelector('[data-md-component=search-query]'))"
    )
    until = monotonic() + 20
    while not (found := results(browser)) and monotonic() < until:
        sleep(0.1)
    assert any("circuit_breaker.html" in link for link in found)
    assert [one["url"] for one in browser.requests if not one["url"].startswith(("file:", "data:", "blob:"))] == []
    assert browser.complaints == []


@pytest.mark.parametrize("page", ["index", "patterns/online_ab", "troubleshooting", "from-ml-system-in-actions"])
@pytest.mark.parametrize("width", [360, 1400])
def test_no_page_is_wider_than_its_window(page: str, width: int, site: Path, browser: Browser) -> None:
    browser.look(width, 900)
    browser.open(f"file://{site}/{page}.html")
    assert browser.run("document.documentElement.scrollWidth") <= width


def results(browser: Browser) -> list[str]:
    """Where the results of the search lead."""
    found: list[str] = browser.run("[...document.querySelectorAll('.md-search-result__link')].map(link => link.href)")
    return found
