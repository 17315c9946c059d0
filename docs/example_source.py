"""An example as it is shown: the imports that a function uses, and its body."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from symtable import SymbolTable, symtable
from types import ModuleType

__all__ = ["example_of"]


def example_of(module: ModuleType, name: str) -> str | None:
    """The source of `NAME_example` in a module of examples, or None if there is none."""
    called = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    function = vars(module).get(f"{called}_example")
    if function is None:
        return None
    source = textwrap.dedent(inspect.getsource(function))
    (definition,) = ast.parse(source).body
    assert isinstance(definition, ast.FunctionDef | ast.AsyncFunctionDef)
    body = textwrap.dedent("\n".join(source.splitlines()[definition.body[0].lineno - 1 :]))
    used = _global_names(symtable(source, name, "exec"))
    return "\n\n".join(filter(None, ("\n".join(_imports(module, used)), body)))


def _global_names(table: SymbolTable) -> set[str]:
    """What a scope and those inside of it have from outside of the function."""
    inside = (_global_names(child) for child in table.get_children())
    return {symbol.get_name() for symbol in table.get_symbols() if symbol.is_global()}.union(*inside)


def _imports(module: ModuleType, used: set[str]) -> Iterator[str]:
    """The imports of a module that bind one of these names, each as short as it can be."""
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.Import | ast.ImportFrom) and getattr(node, "module", "") != "__future__":
            node.names = [each for each in node.names if (each.asname or each.name.partition(".")[0]) in used]
            if node.names:
                yield ast.unparse(node)
