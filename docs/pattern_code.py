"""The part of a pattern's file that composes it: what `build` and `app` are made of, with what these import."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from mlpatterns.scaffold.imports import import_lines, imported
from mlpatterns.scaffold.statements import names_used, needed_statements, segments

__all__ = ["composition"]


def composition(text: str, roots: Iterable[str] = ("build", "app")) -> str:
    """The statements of `text` that define `roots`, and those that these use, as they are written there.

    Args:
        roots: names of the top level; those that are not defined are left out.
    """
    body = ast.parse(text).body
    kept = needed_statements(body, roots)
    used = set[str]().union(*map(names_used, kept))
    entries = [entry for entry in imported(body) if entry.bound in used and not entry.typing]
    return "\n".join([*import_lines(entries), *segments(text, kept)])
