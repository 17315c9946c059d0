"""The one parser of model references.

iris_sklearn_svc              the version its alias ``champion`` points to
iris_sklearn_svc@challenger   the version another alias points to
iris_sklearn_svc:3            always version 3
model.onnx, file:PATH         a file, outside any registry; a registered model of that name is model.onnx@champion
"""

from __future__ import annotations

import re
from pathlib import Path

from msgspec import Struct

from mlpatterns.user_errors import WrongUse

__all__ = [
    "DEFAULT_ALIAS", "NAME", "FileReference", "Reference", "RegisteredReference", "check_name", "is_file", "name_of",
    "parse_reference",
]  # fmt: skip

DEFAULT_ALIAS = "champion"
SCHEME, SUFFIX = "file:", ".onnx"
MOST = 128  # characters of a name
NAME = rf"[A-Za-z0-9][A-Za-z0-9_.-]{{0,{MOST - 1}}}"
_PATTERN = re.compile(rf"(?P<name>{NAME})(?:@(?P<alias>{NAME})|:(?P<version>[1-9][0-9]{{0,8}}))?")


class FileReference(Struct, frozen=True):
    """A model file outside any registry."""

    path: Path

    def __str__(self) -> str:
        return f"file:{self.path}"


class RegisteredReference(Struct, frozen=True):
    """A model of the registry: by version if one is given, else by alias."""

    name: str
    alias: str = DEFAULT_ALIAS
    version: int | None = None

    def __str__(self) -> str:
        return f"{self.name}@{self.alias}" if self.version is None else f"{self.name}:{self.version}"


Reference = FileReference | RegisteredReference


def parse_reference(text: str) -> Reference:
    """Reads a model reference.

    Raises:
        WrongUse: `text` has none of the four forms.
    """
    if text.startswith(SCHEME) and len(text) > len(SCHEME):
        return FileReference(Path(text.removeprefix(SCHEME)))
    match = _PATTERN.fullmatch(text)
    chosen = match and (match["alias"] or match["version"])
    if not chosen and text.lower().endswith(SUFFIX) and "://" not in text:
        return FileReference(Path(text))
    if not match:
        raise WrongUse(f"{text!r} is not a model reference; write NAME, NAME@ALIAS, NAME:VERSION or FILE.onnx")
    version = match["version"]
    return RegisteredReference(match["name"], match["alias"] or DEFAULT_ALIAS, int(version) if version else None)


def check_name(name: str) -> None:
    """Checks that a model can be registered under this name.

    Raises:
        WrongUse: no reference could name it.
    """
    if not re.fullmatch(NAME, name):
        raise WrongUse(f"a model cannot be called {name!r}: a name is letters, digits, '_', '-' and '.', {MOST} "
                       "at most; give one with --name")  # fmt: skip


def name_of(path: Path) -> str:
    """The name of a model in a file: the file's stem, with underscores for characters that a name may not contain."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", path.stem).lstrip("_.-")[:MOST].rstrip("_") or "model"


def is_file(text: str) -> bool:
    """Whether `text` refers to a file, whether it exists or not."""
    try:
        return isinstance(parse_reference(text), FileReference)
    except WrongUse:
        return False
