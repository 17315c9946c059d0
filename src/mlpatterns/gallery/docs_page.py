"""The page `/docs` of `mlpatterns up`: every system with its need and the links to its own docs."""

from __future__ import annotations

from collections.abc import Sequence

from mlpatterns.gallery.card import LINKS, PAGE, Card
from mlpatterns.server.pages.html import Markup, element, group, whole_page

__all__ = ["docs_page"]

INTRODUCTION = "Each system has its own API and docs, below its name."
DOCS = "docs"


def docs_page(cards: Sequence[Card]) -> str:
    """The complete HTML document.

    Args:
        cards: the cards of the systems that have an app, in the order to show them.
    """
    heads = element("tr", *(element("th", text, scope="col") for text in ("system", "need", "documents")))
    table = element("table", element("thead", heads), element("tbody", *map(_row, cards)), class_="systems")
    header = element(
        "header",
        element("h1", "mlpatterns: API docs"),
        element("p", INTRODUCTION, class_="quiet"),
        element("nav", element("a", "All systems, each with a form", href="./"), aria_label="Index"),
    )
    listed = element("section", element("div", table, class_="wide"), class_="model")
    return whole_page("API docs · mlpatterns", element("main", header, listed), DOCS, at_root=False)


def _row(card: Card) -> Markup:
    name = card.system.name
    home = next((path for path in (DOCS, PAGE) if path in card.links), None)
    title = group(name) if home is None else element("a", name, href=f"{name}/{home}")
    need: list[str] = [card.system.header.need]
    if card.refused:
        need.append(element("p", f"does not run here: {card.refused}", class_="bad"))
    links = [element("a", LINKS[path], href=f"{name}/{path}", aria_label=f"{LINKS[path]} of {name}")
             for path in card.links if path != home]  # fmt: skip
    return element(
        "tr", element("th", title, scope="row"), element("td", *need), element("td", element("nav", *links))
    )  # fmt: skip
