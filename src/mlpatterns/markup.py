"""Builds HTML with nested calls, which escape every text that is not Markup.

`piece_page` builds a complete page for a piece. Such a page has no scripts and loads no other files.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

__all__ = ["Markup", "element", "group", "piece_page", "table"]

VOID = frozenset({"img", "input", "link", "meta"})
# The colours and sizes of the server's other pages, since a piece's page loads no file. A wide table scrolls by itself.
STYLE = """
:root { color-scheme: light dark; --page: #f6f7f9; --card: #fff; --ink: #1b2330; --quiet: #586274; --line: #d8dde5; }
@media (prefers-color-scheme: dark) {
  :root { --page: #12161c; --card: #1a2029; --ink: #e4e8ee; --quiet: #9aa6b6; --line: #303947; }
}
body { max-width: 60rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; background: var(--page); color: var(--ink);
       font: 15px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { margin: 0 0 .5rem; font-size: 1.6rem; line-height: 1.25; }
h2 { margin: 2rem 0 .5rem; font-size: 1.25rem; }
table { display: block; width: max-content; max-width: 100%; margin: 1rem 0; overflow-x: auto; overflow-wrap: normal;
        background: var(--card); border: 1px solid var(--line); border-radius: 10px; border-spacing: 0; }
th, td { padding: .35rem .9rem; text-align: left; }
th { color: var(--quiet); font-weight: 500; }
td { border-top: 1px solid var(--line); }
td.n { text-align: right; font-variant-numeric: tabular-nums; }
.quiet { color: var(--quiet); }
.warn { padding-left: .6rem; border-left: .3rem solid #c60; }
svg { max-width: 100%; }
"""


class Markup(str):
    """HTML that needs no escaping."""

    __slots__ = ()


def element(tag: str, *children: str, **attributes: str | bool) -> Markup:
    """One element.

    Args:
        children: Markup, or text to escape.
        attributes: `class_` and `for_` lose their underscore, other underscores become hyphens. True makes an
            attribute without a value; False leaves the attribute out.
    """
    said = "".join(_attribute(name, value) for name, value in attributes.items() if value is not False)
    if tag in VOID:
        return Markup(f"<{tag}{said}>")
    return Markup(f"<{tag}{said}>{group(*children)}</{tag}>")


def group(*children: str) -> Markup:
    """The children in sequence, without an element around them."""
    return Markup("".join(child if isinstance(child, Markup) else escape(child) for child in children))


def table(heads: Sequence[str], rows: Iterable[Sequence[str | float]]) -> Markup:
    """A table. Numbers are right-aligned; floats have at most five significant digits."""
    top = element("tr", *(element("th", head) for head in heads))
    return element("table", top, *(element("tr", *(_cell(value) for value in row)) for row in rows))


def piece_page(title: str, *body: str) -> str:
    """A complete HTML page, for an operation of the kind ``page``."""
    head = element(
        "head", element("meta", charset="utf-8"), element("title", title), element("style", Markup(STYLE)),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("link", rel="icon", href="data:,"),
    )  # fmt: skip
    return f"<!doctype html>\n{element('html', head, element('body', element('h1', title), *body), lang='en')}"


def _cell(value: str | float) -> Markup:
    if isinstance(value, str):
        return element("td", value)
    return element("td", f"{value:,}" if isinstance(value, int) else f"{value:.5g}", class_="n")


def _attribute(name: str, value: str | bool) -> str:
    name = name.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'
