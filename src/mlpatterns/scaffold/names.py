"""The folder and the name of a project."""

from __future__ import annotations

import re
from importlib.metadata import requires
from pathlib import Path

from mlpatterns.user_errors import WrongUse

__all__ = ["empty_folder", "normalized_name", "project_name"]

NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")


def empty_folder(path: Path) -> Path:
    """`path` as an absolute path, if a project can be made there.

    Raises:
        WrongUse: the path is a file or a folder that is not empty, or its parent does not exist.
    """
    target = path.absolute().resolve()
    if target.is_dir():
        if any(target.iterdir()):
            raise WrongUse(f"{path} is not empty, and nothing is overwritten; name a new folder")
    elif target.exists():
        raise WrongUse(f"{path} is a file; name a new folder")
    elif not target.parent.is_dir():
        raise WrongUse(f"there is no folder {target.parent} to make {target.name} in; make it first")
    return target


def project_name(folder: Path) -> str:
    """The name of a project in `folder`, a normalised package name (PEP 503): lower-case letters, digits and dashes.

    Raises:
        WrongUse: the folder's name gives no valid name, or the name of a package that the project needs.
    """
    name = normalized_name(folder.name)
    if not NAME.fullmatch(name):
        raise WrongUse(f"a project has the name of its folder, and {folder.name!r} is not a valid one: "
                       "use letters of ASCII, digits and dashes")  # fmt: skip
    if name in {"mlpatterns", *(normalized_name(need) for need in requires("mlpatterns") or ())}:
        raise WrongUse(f"{name} is a package that the project needs, so it cannot be called that; name another folder")
    return name


def normalized_name(text: str) -> str:
    """The normalised package name in a requirement: for ``Pillow>=11; extra == "image"`` it is ``pillow``."""
    return re.sub(r"[-_.\s]+", "-", re.split(r"[<>=!~;\[(@]", text, maxsplit=1)[0].strip()).lower()
