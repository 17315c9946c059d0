"""The part of a pattern's file that composes it: what `build` and `app` are made of, with what these import."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from mlpatterns.scaffold.imports import import_lines, imported

__all__ = ["composition"]


def composition(text: str, roots: Iterable[str] = ("build", "app")) -> str:
    """The statements of `text` that define `roots`, and those that these use, as they are written there.

    Args:
        roots: names of the top level; those that are not defined are left out.
    """
    tree = ast.parse(text)
    homes = {name: statement for statement in tree.body for name in _defined(statement)}
    wanted, found = list(roots), set[str]()
    while wanted:
        name = wanted.pop()
        if name in homes and name not in found:
            found.add(name)
            wanted += _used(homes[name])
    kept = list(dict.fromkeys(statement for statement in tree.body if found & set(_defined(statement))))
    used = set[str]().union(*map(_used, kept))
    entries = [entry for entry in imported(tree.body) if entry.bound in used and not entry.typing]
    return "\n".join([*import_lines(entries), *_written(text, kept)])


def _defined(statement: ast.stmt) -> list[str]:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [statement.name]
    if isinstance(statement, ast.Assign | ast.AnnAssign):
        return [
            node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        ]
    return []


def _used(statement: ast.stmt) -> set[str]:
    return {node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}


def _written(text: str, kept: Iterable[ast.stmt]) -> list[str]:
    """The lines of the statements, apart as far as style asks."""
    lines, made, last = text.splitlines(), list[str](), None
    for statement in kept:
        block = isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        made += [""] * (2 if block or last else 1 if last is None else 0)
        made += lines[min([statement.lineno, *_decorators(statement)]) - 1 : statement.end_lineno]
        last = block
    return made


def _decorators(statement: ast.stmt) -> list[int]:
    return [node.lineno for node in getattr(statement, "decorator_list", [])]
