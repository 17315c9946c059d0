"""What mkdocs.yml cannot say: pages of the site that lie outside of docs/, and links that lead out of it.

The catalogue lists the pages of the patterns, in the navigation and on a page that leads to them. The README is the
first page. The changelog, the notes for contributors and the figures are pages as well. A link to a file of the
repository that is no page leads to that file on the site of the repository.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

from mlpatterns.catalog import GROUPS, systems

__all__ = ["INDEX", "ROOT_PAGES", "index", "on_config", "on_files", "on_page_markdown", "with_links"]

REPOSITORY = Path(__file__).parents[1]
# The place of each in the repository, and on the site.
ROOT_PAGES = {
    "README.md": "index.md",
    "README.ja.md": "README.ja.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "benchmarks/RESULTS.md": "benchmarks/RESULTS.md",
}
INDEX = "patterns/index.md"
INTRODUCTION = """Each page has one system: when to use it, what it is made of, what it answers, what it proves, and
what it costs. The outputs are recorded, not written by hand."""
LINK = re.compile(r"(\]\()([^)#\s]+)((?:#[^)\s]*)?\))")
FENCE = re.compile(r"(^```.*?^```$)", re.DOTALL | re.MULTILINE)


def on_config(config: Any) -> Any:
    """Lists the pages of the patterns by group, where mkdocs.yml says so."""
    (chapter,) = (entry["Patterns"] for entry in config.nav if isinstance(entry, dict) and "Patterns" in entry)
    place = chapter.index("Groups")
    chapter[place : place + 1] = [
        {group.capitalize(): [f"patterns/{system.name}.md" for system in systems() if system.header.group == group]}
        for group in GROUPS
    ]
    return config


def on_files(files: Any, config: Any) -> Any:
    """Adds the pages that lie outside of docs/, and the one that leads to the patterns."""
    for source, place in ROOT_PAGES.items():
        text = REPOSITORY.joinpath(source).read_text(encoding="utf-8")
        files.append(File.generated(config, place, content=text))
    files.append(File.generated(config, INDEX, content=index()))
    return files


def index() -> str:
    """The page that leads to those of the patterns, by group."""
    parts = ["# Patterns", INTRODUCTION]
    for group in GROUPS:
        rows = [f"| {system.header.need} | [{system.name}]({system.name}.md) | {system.header.title} |"
                for system in systems() if system.header.group == group]  # fmt: skip
        parts += [f"## {group.capitalize()}", "\n".join(["| I need to … | System | Pattern |", "|---|---|---|", *rows])]
    return "\n\n".join(parts) + "\n"


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Any) -> str:
    """Leads the links of a page to where their targets are on the site."""
    places = {place: source for source, place in ROOT_PAGES.items()}
    source = places.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    on_site = {f"docs/{file.src_uri}": file.src_uri for file in files} | ROOT_PAGES | {"docs/patterns": INDEX}
    return with_links(markdown, source, page.file.src_uri, on_site, config.extra["repository"])


def with_links(markdown: str, source: str, place: str, on_site: dict[str, str], repository: str) -> str:
    """The text of a page with links that hold on the site; code is left alone.

    Args:
        source: the page's file, from the root of the repository.
        place: the page's file, from the root of the site.
        on_site: where each file of the repository that is on the site is there.
        repository: the URL below which the files of the repository are.
    """

    def led(found: re.Match[str]) -> str:
        begin, link, end = found.groups()
        if "://" in link or link.startswith("mailto:"):
            return found[0]
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link))
        if target in on_site:
            return f"{begin}{posixpath.relpath(on_site[target], posixpath.dirname(place) or '.')}{end}"
        return f"{begin}{repository}/{target}{end}" if REPOSITORY.joinpath(target).exists() else found[0]

    parts = FENCE.split(markdown)
    return "".join(part if number % 2 else LINK.sub(led, part) for number, part in enumerate(parts))
