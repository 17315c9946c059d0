"""The site that `make docs` builds: whole, with no dead link, and nothing that a page loads from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from docs_site import REPOSITORY, build_site

pytestmark = [pytest.mark.integration, pytest.mark.slow]  # MkDocs renders forty pages

LOADED = {"script": "src", "img": "src", "link": "href", "source": "src", "iframe": "src", "object": "data"}
NOT_LOADED = {"canonical", "alternate", "next", "prev", "edit"}  # links of these kinds name a place


class Page(HTMLParser):
    """What a page loads, where its links lead, and the places in it that a link can lead to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.anchors |= {found[name] for name in ("id", "name") if found.get(name)}
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        elif tag in LOADED and LOADED[tag] in found and not NOT_LOADED & set(found.get("rel", "").split()):
            self.loads.append(found[LOADED[tag]])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_site(tmp_path_factory.mktemp("docs") / "site")


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    """All but the page for what is not there, which only a server shows, at any address."""
    found = sorted(path for path in site.rglob("*.html") if path.name != "404.html")
    return {path: Page(path.read_text(encoding="utf-8")) for path in found}


def test_every_page_of_the_documents_is_there(site: Path, pages: dict[Path, Page]) -> None:
    wanted = {path.relative_to(REPOSITORY / "docs").with_suffix(".html") for path in REPOSITORY.glob("docs/**/*.md")}
    wanted |= {Path(name) for name in ("index.html", "README.ja.html", "CHANGELOG.html", "benchmarks/RESULTS.html")}
    assert wanted - {path.relative_to(site) for path in pages} == set()


def test_nothing_is_on_the_site_but_pages_and_what_they_show(site: Path) -> None:
    """No source of what makes them, and no recorded session."""
    kinds = {path.suffix for path in site.rglob("*") if path.is_file()}
    assert kinds & {".py", ".toml", ".txt", ".pyc"} == set()


def test_no_page_loads_anything_from_elsewhere(site: Path, pages: dict[Path, Page]) -> None:
    away = {path.name: [url for url in page.loads if urlsplit(url).netloc] for path, page in pages.items()}
    assert {name: urls for name, urls in away.items() if urls} == {}
    styles = [path for path in site.rglob("*.css") if "url(http" in path.read_text(encoding="utf-8").replace("'", "")]
    assert styles == []


def test_every_link_within_the_site_leads_somewhere(site: Path, pages: dict[Path, Page]) -> None:
    assert list(dead(site, pages)) == []
    assert sum(len(page.links) for page in pages.values()) > 1000


def test_a_link_out_of_the_site_to_the_repository_leads_to_a_file(pages: dict[Path, Page]) -> None:
    begin = "https://github.com/mlpatterns/mlpatterns/blob/main/"
    found = {link.removeprefix(begin).partition("#")[0] for page in pages.values() for link in page.links
             if link.startswith(begin)}  # fmt: skip
    assert found
    assert [link for link in sorted(found) if not REPOSITORY.joinpath(unquote(link)).exists()] == []


@pytest.mark.parametrize(
    ("text", "broken"),
    [
        ('<a href="b.html#there">', False),
        ('<a href="#here"><h2 id="here">', False),
        ('<a href="c.html">', True),
        ('<a href="b.html#nowhere">', True),
        ('<a href="https://elsewhere.example/c">', False),
    ],
)
def test_a_dead_link_would_be_noticed(text: str, broken: bool, tmp_path: Path) -> None:
    written = {"a.html": text, "b.html": '<h2 id="there">'}
    for name, content in written.items():
        tmp_path.joinpath(name).write_text(content, encoding="utf-8")
    assert bool(list(dead(tmp_path, {tmp_path / name: Page(content) for name, content in written.items()}))) is broken


def dead(site: Path, pages: dict[Path, Page]) -> Iterator[tuple[str, str]]:
    """The links within a site that lead to no file, or to a place that its page does not have."""
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchor = unquote(parts.fragment)
            if not target.is_file() or (anchor and target in pages and anchor not in pages[target].anchors):
                yield str(path.relative_to(site)), link
