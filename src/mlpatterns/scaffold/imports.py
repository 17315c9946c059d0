"""Reads the imports of a module, and writes the import statements that are needed."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator

from msgspec import Struct

__all__ = ["ImportedName", "import_lines", "imported"]

WIDTH = 120  # characters per line
NEEDS = {"BatchJob": "cronsim", "ImageDecoder": "PIL", "GoldenImages": "PIL"}


class ImportedName(Struct, frozen=True):
    """One name that an import binds. Without `name`, the import binds the module itself.

    Attributes:
        typing: whether only type checkers import it.
    """

    module: str
    name: str = ""
    alias: str = ""
    typing: bool = False

    @property
    def bound(self) -> str:
        """The name that it binds in the importing module."""
        return self.alias or self.name or self.module.partition(".")[0]

    @property
    def needed(self) -> str:
        """The top-level module that the import needs; for some names of mlpatterns, a package that those need."""
        module = self.module.partition(".")[0]
        return NEEDS.get(self.name, module) if module == "mlpatterns" else module


def imported(nodes: Iterable[ast.AST]) -> Iterator[ImportedName]:
    """The names that these statements import, including those below `if TYPE_CHECKING`."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (ImportedName(name.name, "", name.asname or "") for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (ImportedName(node.module, name.name, name.asname or "") for name in node.names)
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for entry in imported(node.body):
                yield ImportedName(entry.module, entry.name, entry.alias, typing=True)


def import_lines(entries: Iterable[ImportedName]) -> list[str]:
    """The import statements for `entries`, in the order of isort."""
    wanted = list(dict.fromkeys(entries))
    checked = [entry for entry in wanted if entry.typing]
    if checked:
        wanted.append(ImportedName("typing", "TYPE_CHECKING"))
    always = [entry for entry in dict.fromkeys(wanted) if not entry.typing]
    lines: list[str] = []
    for section in range(3):
        block = _block([entry for entry in always if _section(entry) == section])
        lines += [""] * bool(lines and block) + block
    if checked:
        lines += ["", "if TYPE_CHECKING:", *(f"    {line}" for line in _block(checked))]
    return lines


def _section(entry: ImportedName) -> int:
    root = entry.module.partition(".")[0]
    return 0 if root == "__future__" else 1 if root in sys.stdlib_module_names else 2


def _block(entries: list[ImportedName]) -> list[str]:
    modules = sorted({(entry.module, entry.alias) for entry in entries if not entry.name})
    lines = [f"import {module}{_as(alias)}" for module, alias in modules]
    for module in sorted({entry.module for entry in entries if entry.name}):
        lines += _from(
            module, sorted((entry for entry in entries if entry.name and entry.module == module), key=_order)
        )
    return lines


def _from(module: str, entries: list[ImportedName]) -> list[str]:
    names = [entry.name + _as(entry.alias) for entry in entries]
    line = f"from {module} import {', '.join(names)}"
    return [line] if len(line) <= WIDTH else [f"from {module} import (", *(f"    {name}," for name in names), ")"]


def _order(entry: ImportedName) -> tuple[int, str]:
    """The sort key: constants first, then classes, then the rest."""
    name = entry.name
    return (0 if name.isupper() else 1 if name[:1].isupper() else 2, name)


def _as(alias: str) -> str:
    return f" as {alias}" if alias else ""
