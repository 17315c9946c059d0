"""Builds HTML by nested calls, which escape every text that is not Markup.

`piece_page` builds a whole page for a piece. Such a page has no scripts and loads no other files.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

__all__ = ["Markup", "element", "group", "piece_page", "table"]

VOID = frozenset({"img", "input", "link", "meta"})
STYLE = (
    ":root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;"
    "padding:0 1rem}table{border-collapse:collapse;margin:1rem 0}th,td{border:1px solid #8888;padding:.3rem .6rem;"
    "text-align:left}td.n{text-align:right;font-variant-numeric:tabular-nums}.quiet{opacity:.7}"
    ".warn{border-left:.3rem solid #c60;padding-left:.6rem}svg{max-width:100%}"
)


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
    """A whole HTML page, for an operation of the kind ``page``."""
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
