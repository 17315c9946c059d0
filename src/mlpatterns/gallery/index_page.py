"""The index page of `mlpatterns up`: every system with its need, its diagram, its forms and links to its docs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mlpatterns.catalog import GROUPS, System, texts
from mlpatterns.gallery.card import FIRST, LINKS, Card
from mlpatterns.gallery.form import form
from mlpatterns.server.pages.diagram import diagram
from mlpatterns.server.pages.html import Markup, command, credential, element, group, whole_page

__all__ = ["page"]

START = "Start here"
EXAMPLES = ("drift", "canary", "cache", "rollback", "ドリフト", "バッチ")  # searches that each find a system
PROGRAMS = "From the command line"
INTRODUCTION = "Production machine-learning systems made of one set of small pieces. All run here: press Send."
NO_SCRIPT = "Sending from this page needs JavaScript; the command below each form does the same in a terminal."


def page(systems: Sequence[System], cards: Sequence[Card], address: str, *, at_root: bool) -> str:
    """The complete HTML document.

    Args:
        systems: all systems, in the order to show them.
        cards: the cards of the systems that have an app.
        address: the URL at which the browser reached this server, without a slash at its end.
        at_root: whether the page's own address has no slash at its end either.
    """
    running = {card.system.name for card in cards}
    others = [system for system in systems if system.name not in running]
    shown = {START: [(card.system, _card(card, address)) for card in cards if card.system.name == FIRST]}
    shown |= {name.capitalize(): [(card.system, _card(card, address)) for card in cards
                                  if card.system.header.group == name and card.system.name != FIRST]
              for name in GROUPS}  # fmt: skip
    shown[PROGRAMS] = [(system, _program(system)) for system in others]
    body = element(
        "main",
        _head({title: [system for system, _ in members] for title, members in shown.items()},
              secured=any(card.secured for card in cards)),
        *(_section(title, *(article for _, article in members)) for title, members in shown.items()),
    )  # fmt: skip
    return whole_page("mlpatterns", body, "gallery", at_root=at_root)


def _head(shown: Mapping[str, Sequence[System]], *, secured: bool) -> Markup:
    jumps = (
        element("li", element("span", title, class_="quiet"), element("span", *map(_jump, members)))
        for title, members in shown.items()
        if members
    )
    finder = element("input", id="find", type="search", autocomplete="off", placeholder="cache, バッチ, A/B …",
                     data_examples=" ".join(EXAMPLES))  # fmt: skip
    return element(
        "header",
        element("h1", "mlpatterns"),
        element("p", INTRODUCTION, class_="quiet"),
        element("noscript", element("p", NO_SCRIPT)),
        element("details", element("summary", "All systems"),
                element("nav", element("ul", *jumps), aria_label="Systems"), class_="systems", open=True),
        element("nav", element("a", "The API docs of each system", href="docs", data_path="docs"), aria_label="Docs"),
        element("div", element("label", "Find a system", for_="find"), finder,
                element("p", class_="quiet found", role="status"), class_="scripted finder"),
        credential("key", "API key") if secured else group(),
    )  # fmt: skip


def _jump(system: System) -> Markup:
    return element("a", system.name, href=f"#{system.name}")


def _section(title: str, *parts: Markup) -> Markup:
    if not parts:
        return group()
    key = f"in-{title.split()[0].lower()}"
    return element("section", element("h2", title, id=key), *parts, aria_labelledby=key)


def _card(card: Card, address: str) -> Markup:
    system, header = card.system, card.system.header
    links = [element("a", LINKS[path], href=f"{system.name}/{path}", data_path=f"{system.name}/{path}",
                     aria_label=f"{LINKS[path]} of {system.name}") for path in card.links]  # fmt: skip
    refused = (card.refused,) if card.refused else ()
    missing = (element("p", f"{what}: {', '.join(names)}", class_="bad")
               for what, names in (("does not run here", refused), ("not ready", card.waiting),
                                   ("not loaded", card.unloaded)) if names)  # fmt: skip
    drawing = _drawing(system) if card.diagram is None else diagram(
        system.name, f"The pieces of {system.name}", card.diagram)  # fmt: skip
    forms = (form(system.name, number, spec, card, address) for number, spec in enumerate(card.forms))
    offered = f"{', '.join(card.operations)} (see its docs)" if card.operations else ""
    facts = _facts(("Contents now", card.listed), ("Other operations", offered), ("Use it when", header.when),
                   ("Do not use it when", header.when_not), ("In the book", header.book))  # fmt: skip
    columns = (drawing, element("div", *forms, class_="asked"), element("div", facts, _commands(system)))
    documents = element("nav", *links, aria_label=f"Documents of {system.name}") if links else group()
    return _article(system, *missing, documents,
                    element("div", *columns, class_="columns"))  # fmt: skip


def _program(system: System) -> Markup:
    """The article of a system without an app: a training, or a program that runs beside a server."""
    header = system.header
    facts = _facts(("Use it when", header.when), ("Do not use it when", header.when_not), ("In the book", header.book))
    return _article(system, _drawing(system), facts, _commands(system))


def _drawing(system: System) -> Markup:
    """The text diagram of a system's header."""
    return _lines(system.header.diagram, f"Diagram of {system.name}")


def _commands(system: System) -> Markup:
    """The commands of a system, each with its own copy button."""
    lines = map(command, system.header.commands.splitlines())
    return element("div", *lines, class_="steps", role="group", aria_label=f"Commands of {system.name}")


def _lines(text: str, label: str) -> Markup:
    """Preformatted text; nothing if the text is empty."""
    return element("pre", text, class_="drawing", tabindex="0", role="group", aria_label=label) if text else group()


def _article(system: System, *parts: Markup) -> Markup:
    japanese = element("span", system.header.japanese, class_="quiet", lang="ja")
    title = element("h3", element("a", system.name, href=f"#{system.name}"), " ", japanese)
    return element("article", title, element("p", system.header.need, class_="need"), *parts,
                   id=system.name, class_="model", data_find=_words(system))  # fmt: skip


def _facts(*facts: tuple[str, str]) -> Markup:
    rows = (group(element("dt", name), element("dd", text)) for name, text in facts if text)
    return element("dl", *rows)


def _words(system: System) -> str:
    """The words that the finder searches, each once."""
    return " ".join(dict.fromkeys(" ".join(texts(system)).split()))
