"""HTML out of nested calls, where every text is escaped unless it came out of such a call itself."""

from __future__ import annotations

from html import escape

__all__ = ["Markup", "element", "group"]

VOID = frozenset({"img", "input", "link", "meta"})


class Markup(str):
    """HTML that is safe to put into a page as it is."""

    __slots__ = ()


def element(tag: str, *children: str, **attributes: str | bool) -> Markup:
    """One element. `class_` and `for_` lose their underscore, other underscores become hyphens; True has no value,
    False is left out."""
    said = "".join(_attribute(name, value) for name, value in attributes.items() if value is not False)
    if tag in VOID:
        return Markup(f"<{tag}{said}>")
    return Markup(f"<{tag}{said}>{group(*children)}</{tag}>")


def group(*children: str) -> Markup:
    """Children one after the other, without an element around them."""
    return Markup("".join(child if isinstance(child, Markup) else escape(child) for child in children))


def _attribute(name: str, value: str | bool) -> str:
    name = name.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'
