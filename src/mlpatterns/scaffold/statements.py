"""Finds the statements of a Python file that some of its names need, and their original text."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence

__all__ = ["names_used", "needed_statements", "segments"]


def needed_statements(body: Sequence[ast.stmt], roots: Iterable[str]) -> list[ast.stmt]:
    """The top-level statements that define `roots`, and those that they need in turn, in the order of the file.

    Roots that are not defined are ignored.
    """
    homes = {name: statement for statement in body for name in _defined(statement)}
    wanted, seen = list(roots), set[str]()
    while wanted:
        name = wanted.pop()
        if name in homes and name not in seen:
            seen.add(name)
            wanted += names_used(homes[name])
    keep = {id(homes[name]) for name in seen}
    return [statement for statement in body if id(statement) in keep]


def _defined(statement: ast.stmt) -> list[str]:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [statement.name]
    if isinstance(statement, ast.Assign | ast.AnnAssign):
        names = [node for node in ast.walk(statement) if isinstance(node, ast.Name)]
        return [name.id for name in names if isinstance(name.ctx, ast.Store)]
    return []


def names_used(statement: ast.AST) -> set[str]:
    """The names that a statement uses and does not define itself."""
    nodes = list(ast.walk(statement))
    loaded = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    own = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    return loaded - own - {node.arg for node in nodes if isinstance(node, ast.arg)}


def segments(text: str, kept: Sequence[ast.stmt]) -> list[str]:
    """The lines of the statements and of the comments above them, with blank lines between them as style requires."""
    lines = text.splitlines()
    made: list[str] = []
    last, last_block = 0, True
    for statement in kept:
        first = min([statement.lineno, *[node.lineno for node in getattr(statement, "decorator_list", [])]]) - 1
        while first and lines[first - 1].startswith("#"):
            first -= 1
        block = isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        blank = 2 if block or (last_block and made) else 0 if made and first == last else 1
        made += [""] * blank + lines[first : statement.end_lineno]
        last, last_block = statement.end_lineno or 0, block
    return made
