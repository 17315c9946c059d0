"""Reads the structure of the source: the packages and modules directly in `src/mlpatterns`, here called packages, their
layers, their imports, functions and classes, and the names that they access."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import NamedTuple

import mlpatterns

SOURCE = Path(mlpatterns.__file__).parent
CONTRIBUTING = Path(__file__).parent.parent / "CONTRIBUTING.md"
ENTRIES = {"__init__", "__main__"}  # they only re-export names
BY_NAME = {"getattr", "hasattr", "setattr"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Import(NamedTuple):
    """One imported name: `module` as in the source, and the line of the import."""

    module: str
    name: str
    line: int


@dataclass(frozen=True)
class SourceFile:
    """One file of the package: its path below the package, and its text."""

    path: str
    text: str

    @property
    def package(self) -> str:
        return self.path.partition("/")[0].removesuffix(".py")

    @property
    def module(self) -> str:
        name = f"mlpatterns.{self.path.removesuffix('.py').replace('/', '.')}"
        return name.removesuffix(".__init__")

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """All nodes of its syntax tree."""
        return list(ast.walk(ast.parse(self.text)))

    @cached_property
    def imports(self) -> list[Import]:
        """All imports from this package, including those inside functions and those for type checkers."""
        found: list[Import] = []
        for node in self.nodes:
            if isinstance(node, ast.ImportFrom) and _is_ours(node.module or ""):
                found += [Import(node.module or "", alias.name, node.lineno) for alias in node.names]
            if isinstance(node, ast.Import):
                found += [Import(alias.name, "", node.lineno) for alias in node.names if _is_ours(alias.name)]
        return found

    @cached_property
    def functions(self) -> list[Function]:
        return [node for node in self.nodes if isinstance(node, Function)]

    @cached_property
    def classes(self) -> list[ast.ClassDef]:
        return [node for node in self.nodes if isinstance(node, ast.ClassDef)]


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] == "mlpatterns"


@cache
def source_files() -> tuple[SourceFile, ...]:
    """Every Python file of the package."""
    return tuple(
        SourceFile(file.relative_to(SOURCE).as_posix(), file.read_text(encoding="utf-8"))
        for file in sorted(SOURCE.rglob("*.py"))
    )


@cache
def _modules() -> dict[str, SourceFile]:
    return {file.module: file for file in source_files()}


@cache
def layers() -> dict[str, int]:
    """The layer of each package, 0 at the top: its row in the table of CONTRIBUTING.md."""
    section = (
        CONTRIBUTING.read_text(encoding="utf-8").partition("## Packages and layers")[2].partition("\nBeside `src/`")[0]
    )
    rows = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    return {package: layer for layer, row in enumerate(rows) for package in re.findall(r"`(\w+)(?:\.py|/)`", row)}


def package_of(module: str) -> str:
    """The package that a module of mlpatterns is in; empty for mlpatterns itself."""
    return module.partition(".")[2].partition(".")[0]


def private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def private_names_of_others(file: SourceFile) -> Iterator[str]:
    """The private names that a file imports from another package or accesses as attributes of another object."""
    for each in file.imports:
        if private(each.name) and package_of(each.module) != file.package:
            yield f"{file.path} imports {each.name}"
    for node in file.nodes:
        if isinstance(node, ast.Attribute) and private(node.attr) and not _own(node.value):
            yield f"{file.path} reaches {ast.unparse(node)}"


def _own(value: ast.expr) -> bool:
    """Whether the expression is `self`, `cls` or a call of `super`."""
    if isinstance(value, ast.Call):
        return isinstance(value.func, ast.Name) and value.func.id == "super"
    return isinstance(value, ast.Name) and value.id in ("self", "cls")


def inherited_private_names(file: SourceFile) -> Iterator[str]:
    """The private methods of a base class in another package that a class uses or overrides."""
    for kind in file.classes:
        theirs = {name for package, names in _bases(file, kind) for name in names if package != file.package}
        used = {node.attr for node in ast.walk(kind) if isinstance(node, ast.Attribute) and _own(node.value)}
        used |= {node.name for node in kind.body if isinstance(node, Function)}
        yield from (f"{file.path} {kind.name}.{name}" for name in sorted(theirs & used))


def _bases(file: SourceFile, kind: ast.ClassDef) -> Iterator[tuple[str, set[str]]]:
    """The package and the private methods of each base class that this package defines."""
    modules = _modules()
    known = {each.name: each.module for each in file.imports} | {each.name: file.module for each in file.classes}
    for base in kind.bases:
        name = base.value if isinstance(base, ast.Subscript) else base
        if not (isinstance(name, ast.Name) and known.get(name.id) in modules):
            continue
        there = modules[known[name.id]]
        for found in there.classes:
            if found.name == name.id and found is not kind:
                yield (
                    there.package,
                    {node.name for node in found.body if isinstance(node, Function) and private(node.name)},
                )
                yield from _bases(there, found)


def attributes_by_name(file: SourceFile) -> Iterator[str]:
    """The names that a file passes to getattr, hasattr or setattr as constants."""
    for node in file.nodes:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in BY_NAME:
            match node.args:
                case [_, ast.Constant(value=str(name)), *_]:
                    yield name
