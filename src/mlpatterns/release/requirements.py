"""The requirements of an app: from requirements.txt in its folder, else from pyproject.toml, else from its imports."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from mlpatterns.scaffold.imports import imported
from mlpatterns.scaffold.requirements import requirement
from mlpatterns.user_errors import UserError

__all__ = ["requirements_of"]


class _Project(msgspec.Struct):
    dependencies: list[str] = []


class _PyprojectFile(msgspec.Struct):
    project: _Project | None = None


def requirements_of(file: Path) -> list[str]:
    """The arguments for pip that install the packages which `file` needs to be served.

    Raises:
        UserError: the file cannot be read, or the package of an import is unknown.
    """
    listed, described = file.with_name("requirements.txt"), file.with_name("pyproject.toml")
    try:
        if listed.is_file():
            return ["--requirement", str(listed)]
        if described.is_file():
            project = msgspec.convert(tomllib.loads(described.read_text(encoding="utf-8")), _PyprojectFile).project
            if project is not None:
                return project.dependencies
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise UserError(f"{described} cannot be read: {error}") from error
    try:
        return [requirement(_modules(file, set()))]
    except UserError as error:
        raise UserError(f"{str(error).partition(';')[0]}; write a requirements.txt beside {file.name}") from error


def _modules(file: Path, seen: set[Path]) -> Iterator[str]:
    """The top-level modules that a file imports, anywhere in it. For a module in the same folder, the modules that it
    imports in turn."""
    seen.add(file)
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, SyntaxError) as error:
        raise UserError(f"{file} cannot be read as Python: {error}") from error
    for entry in imported(ast.walk(tree)):
        module = entry.module.partition(".")[0]
        beside = [path for path in (file.with_name(f"{module}.py"), file.parent / module / "__init__.py")
                  if path.is_file()]  # fmt: skip
        if not beside:
            yield entry.needed
        elif beside[0] not in seen:
            yield from _modules(beside[0], seen)
