"""Copies the files of an app's folder that belong in its image: all except secrets, hidden and generated files,
documents, tests and packaging files."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from mlpatterns.user_errors import UserError

__all__ = ["copy_app"]

FOLDERS = re.compile(r"\..*|__pycache__|tests?|venv|dist|build|node_modules|secrets|.*\.egg-info")
FILES = re.compile(r"\..*|.*\.(whl|md|pyc)|Makefile|Dockerfile.*|Containerfile.*|pyproject\.toml|requirements.*\.txt")
SECRETS = re.compile(
    r".*\.(pem|key|p12|pfx|jks|keystore|kdbx)|.*\.env|id_(rsa|dsa|ecdsa|ed25519).*|"
    r"(secrets?|credentials?|passwords?)(\.(json|ya?ml|toml|ini|txt|cfg))?",
    re.IGNORECASE,
)
IGNORE = ".dockerignore"


def copy_app(source: Path, target: Path, *, home: Path) -> None:
    """Copies the app's folder `source` to `target`, without the files that its ``.dockerignore`` excludes.

    Args:
        home: the folder of this machine's models and databases, which is excluded if it is inside `source`.

    Raises:
        UserError: a file cannot be read.
    """
    target.mkdir()
    ignored = _ignored(source / IGNORE)
    try:
        for path in _files(source, home.resolve()):
            inner = path.relative_to(source)
            if not ignored(PurePosixPath(inner.as_posix())):
                (target / inner).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target / inner)
    except OSError as error:
        raise UserError(f"{error.filename} cannot be copied into the image: {error.strerror}") from error


def _files(source: Path, home: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(source):
        folders[:] = sorted(
            name for name in folders if not FOLDERS.fullmatch(name) and Path(folder, name).resolve() != home
        )
        yield from (
            Path(folder, name) for name in sorted(names) if not FILES.fullmatch(name) and not SECRETS.fullmatch(name)
        )


def _ignored(file: Path) -> Callable[[PurePosixPath], bool]:
    """A function that returns whether a .dockerignore excludes a path. The last line that matches the path or one of
    its folders decides; ``!`` includes it."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    words = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    rules = [(_expression(word.removeprefix("!")), word.startswith("!")) for word in words]

    def ignored(path: PurePosixPath) -> bool:
        tried = [path.as_posix(), *(parent.as_posix() for parent in path.parents if parent.name)]
        keeps = [keep for rule, keep in rules if any(rule.fullmatch(each) for each in tried)]
        return bool(keeps) and not keeps[-1]

    return ignored


def _expression(pattern: str) -> re.Pattern[str]:
    r"""The regular expression of a line: ``**/`` matches any folders, ``*`` and ``?`` match within a name."""
    shapes = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", pattern.strip().strip("/"))
    return re.compile("".join(shapes.get(part, re.escape(part)) for part in parts))
