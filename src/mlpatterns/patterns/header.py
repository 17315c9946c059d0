"""The header of a pattern: its module docstring, in exactly this form.

The title, a blank line, a `Key: value` line for each of KEYS in their order (a long value continues in lines indented
by two), then `Diagram:` and `Commands:`, each after a blank line, as blocks indented by four. A system that is not in
the book has no `Book:`, and a system that is not in mercari's collection has no `Mercari:`.
"""

from __future__ import annotations

from collections.abc import Sequence
from inspect import cleandoc

from msgspec import Struct

from mlpatterns.user_errors import UserError

__all__ = ["BLOCKS", "GROUPS", "KEYS", "OPTIONAL", "Header", "parse_header"]

GROUPS = ("training", "release", "serving", "operations", "management")
KEYS = ("Need", "Group", "Book", "Mercari", "Japanese", "When", "When not")
OPTIONAL = ("Book", "Mercari")
BLOCKS = ("Diagram", "Commands")


class Header(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The header of a pattern, by its keys; an optional key that is missing is an empty string."""

    title: str
    need: str
    group: str
    book: str = ""
    mercari: str = ""
    japanese: str
    when: str
    when_not: str
    diagram: str
    commands: str


def parse_header(docstring: str, file: str) -> Header:
    """Reads a header.

    Raises:
        UserError: the title is missing, the group is unknown, or a key is missing, unknown, repeated or out of order.
    """
    lines = cleandoc(docstring).splitlines()
    if len(lines) < 2 or not lines[0].strip() or lines[1].strip():
        raise UserError(f"{file}: the header must begin with its title and a blank line")
    fields = _fields(lines[2:], file)
    wanted = (*KEYS, *BLOCKS)
    for key in wanted:
        if not fields.get(key) and (key in fields or key not in OPTIONAL):
            raise UserError(f"{file}: the header lacks {key!r}")
    if list(fields) != [key for key in wanted if key in fields]:
        raise UserError(f"{file}: the header's keys must come in the order {', '.join(wanted)}")
    if fields["Group"] not in GROUPS:
        raise UserError(f"{file}: the Group {fields['Group']!r} is not one of {', '.join(GROUPS)}")
    return Header(title=lines[0].strip(), **{key.lower().replace(" ", "_"): text for key, text in fields.items()})


def _fields(lines: Sequence[str], file: str) -> dict[str, str]:
    """The text of each key. Indented and blank lines belong to the key above them."""
    found: dict[str, list[str]] = {}
    key = ""
    for line in lines:
        if key and (line.startswith("  ") or not line.strip()):
            found[key].append(line)
            continue
        key, separator, first = line.partition(":")
        if not separator or key not in KEYS + BLOCKS:
            raise UserError(f"{file}: the header has the line {line!r}, which is not one of its keys")
        if key in found:
            raise UserError(f"{file}: the header has {key!r} twice")
        found[key] = [first]
    return {key: _text(key, values) for key, values in found.items()}


def _text(key: str, lines: Sequence[str]) -> str:
    if key not in BLOCKS:
        return " ".join(line.strip() for line in lines).strip()
    return "\n".join(line.removeprefix("    ").rstrip() for line in lines[1:]).rstrip()
