"""Reads the lists of names that a user writes for a model: its class names and its column names."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from mlpatterns.user_errors import SettingsError

__all__ = ["check_names", "is_file", "read_columns", "read_labels"]

LABELS_HINT = "write one label a line, a JSON list, or a JSON object by their numbers"
COLUMNS_HINT = "write one name a line, a line of names with commas between them, or a JSON list"
FILE_ENDINGS = {".txt", ".csv", ".json", ".names", ".labels"}


def read_labels(source: str | Path) -> tuple[str, ...]:
    """Class names by index: from ``a,b,c``, or from a file. The file has one name on each line, a JSON list, the object
    ``{"0": "a", "1": "b"}`` or ``{"a": 0, "b": 1}``, or an object ``id2label`` as in transformers.

    Raises:
        SettingsError: the file cannot be read, has no labels, or has one label twice.
    """
    if "," in str(source) and not is_file(str(source)):
        return _checked("labels", _split(str(source)))
    text, what = _text(Path(source), "labels"), f"the labels {source}"
    labels = _json(text, what, LABELS_HINT, numbered=True) if _is_json(text) else _lines(text)
    if not labels:
        raise SettingsError(f"{what} are empty; {LABELS_HINT}")
    return _checked("labels", labels)


def read_columns(source: str | Path) -> tuple[str, ...]:
    """Column names in order: from ``a,b,c``, or from a file. The file has one name on each line, a CSV header, or a
    JSON list.

    Raises:
        SettingsError: the file cannot be read, has no names, or has one name twice.
    """
    path = Path(source)
    if not is_file(str(source)):
        return _checked("columns", _split(str(source)))
    text, what = _text(path, "column names"), f"the column names {source}"
    lines = _lines(text)
    if _is_json(text):
        names = _json(text, what, COLUMNS_HINT, numbered=False)
    elif lines and "," in lines[0]:
        names = _split(lines[0])
    else:
        names = lines
    if not names:
        raise SettingsError(f"{what} are empty; {COLUMNS_HINT}")
    return _checked("columns", names)


def is_file(source: str) -> bool:
    """Whether `source` is the path of a file, and not ``a,b,c`` or one name."""
    path = Path(source)
    return path.exists() or ("," not in source and (path.suffix.lower() in FILE_ENDINGS or "/" in source))


def check_names(what: str, names: Sequence[str]) -> None:
    """Checks that the names are non-empty texts and that no name occurs twice.

    Args:
        what: the kind of names, for the error text: `labels` or `columns`.

    Raises:
        SettingsError: a name is empty, is not a text, or occurs twice, or `names` is a text and not a list.
    """
    if isinstance(names, str):
        raise SettingsError(f"the {what} are the text {names!r}; give a list of names")
    seen: set[str] = set()
    for name in names:
        if not isinstance(name, str) or not name.strip():
            raise SettingsError(f"the {what} hold an empty name or one that is not text; give each a text")
        if name in seen:
            raise SettingsError(f"the {what} have {name!r} twice; give each a name of its own")
        seen.add(name)


def _checked(what: str, names: Sequence[str]) -> tuple[str, ...]:
    check_names(what, names)
    return tuple(names)


def _split(line: str) -> list[str]:
    return [name.strip() for name in next(csv.reader([line], skipinitialspace=True), [])]


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _text(path: Path, what: str) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"the {what} {path} cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _is_json(text: str) -> bool:
    return text.lstrip()[:1] in ("[", "{")


def _json(text: str, what: str, hint: str, *, numbered: bool) -> list[str]:
    try:
        found: Any = msgspec.json.decode(text)
    except msgspec.MsgspecError as error:
        raise SettingsError(f"{what} are not valid JSON: {error}; {hint}") from error
    if isinstance(found, list):
        return _texts(found, what, hint)
    if not numbered:
        raise SettingsError(f"{what} are a JSON object; {hint}")
    found = found.get("id2label", found)  # from a config.json of transformers
    if not isinstance(found, dict):
        raise SettingsError(f"{what} have no names by number; {hint}")
    if all(type(value) is int for value in found.values()) and len({*found.values()}) == len(found):
        found = {str(number): name for name, number in found.items()}  # names to numbers, as in label2id
    numbers = [str(number) for number in range(len(found))]
    if found.keys() != set(numbers):
        raise SettingsError(f"{what} have the numbers {', '.join(found)[:100]}; number them 0 to {len(found) - 1}")
    return _texts([found[number] for number in numbers], what, hint)


def _texts(names: list[Any], what: str, hint: str) -> list[str]:
    for name in names:
        if not isinstance(name, str):
            raise SettingsError(f"{what} have {msgspec.json.encode(name).decode()[:40]} where a name should be; {hint}")
    return names
