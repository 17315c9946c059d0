"""Converts the values of settings to their types, and describes what a setting accepts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from types import NoneType
from typing import Any, get_args

import msgspec
from msgspec import UNSET, UnsetType, inspect

from mlpatterns.redaction import redact
from mlpatterns.settings_fields import Settings
from mlpatterns.settings_sources import SETTINGS_FILE
from mlpatterns.user_errors import SettingsError

__all__ = ["BOOLEANS", "SECRET", "check_origin", "converted"]

SECRET = ("api_keys", "admin_token", "alert_url")  # the URL of a webhook lets anybody post to it
BOOLEANS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
UNITS = {"": 1, "kib": 2**10, "mib": 2**20, "gib": 2**30, "kb": 10**3, "mb": 10**6, "gb": 10**9}
_SIZE = re.compile(r"([0-9]+(?:_[0-9]+)*)\s*([a-zA-Z]*)")
_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")
_USUAL_PORTS = {("http", ":80"), ("https", ":443")}


def converted(name: str, value: Any, source: str) -> Any | UnsetType:
    """The value of the setting `name` in its type; UNSET for empty text.

    Text is converted: a list is comma-separated, a mapping is NAME=VALUE,NAME=VALUE, a size may have a unit (64 MiB).

    Args:
        source: where the value was set, for the error.

    Raises:
        SettingsError: the setting does not accept the value. The text says what it accepts.
    """
    kind, text = _KINDS[name], isinstance(value, str)
    if text and not _is_utf8(value):
        raise SettingsError(f"{name} ({source}): its value is not UTF-8; write it in UTF-8, also where it names a file")
    given = value.strip() if text else value
    if given == "" and text:
        return UNSET
    try:
        read = _read(kind, given, size=name.endswith("_bytes")) if text else given
        found = msgspec.convert(read, _TYPES[name], strict=not text, dec_hook=lambda _, v: Path(v))
        if isinstance(found, float) and not isfinite(found):
            raise ValueError("the value is not a finite number")
    except (msgspec.ValidationError, ValueError) as error:
        shown = "its value" if name in SECRET else redact(repr(str(value)[:100]))
        raise SettingsError(f"{name} ({source}): {shown} is not valid: it must be {_allowed(kind)}") from error
    return found


def check_origin(origin: str) -> None:
    """Checks that `origin` is written as browsers send it: scheme, host, and a port unless it is the scheme's default.

    Raises:
        SettingsError: it is not, and it is not `*`.
    """
    if origin == "*":
        return
    found = _ORIGIN.fullmatch(origin)
    if found is None:
        raise SettingsError(
            f"cors_origins: {origin[:100]!r} is not an origin; write https://HOST or http://HOST:PORT in lower case "
            "without a path, one for each site, or * alone for every site"
        )
    if found.groups() in _USUAL_PORTS:
        raise SettingsError(
            f"cors_origins: browsers omit {found[2]!r} from an origin; write {origin[: -len(found[2])]}"
        )


def _is_utf8(text: str) -> bool:
    """Whether `text` can be encoded: environment values in another encoding contain surrogates (PEP 383)."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


# ---- text ---------------------------------------------------------------------------------------------------------


def _read(kind: inspect.Type, text: str, *, size: bool) -> Any:
    """The value of `text` for msgspec to convert; the text itself if it cannot be read as this kind."""
    match kind:
        case inspect.BoolType():
            return BOOLEANS.get(text.lower(), text)
        case inspect.IntType():
            return _integer(text, UNITS if size else {"": 1})
        case inspect.LiteralType(values):
            return next((value for value in values if str(value).lower() == text.lower()), text)
        case inspect.VarTupleType():
            return [part.strip() for part in text.split(",") if part.strip()]
        case inspect.DictType():
            return _mapping(text)
    return text


def _integer(text: str, units: Mapping[str, int]) -> Any:
    found = _SIZE.fullmatch(text)
    if found is None or found[2].lower() not in units:
        return text
    return int(found[1]) * units[found[2].lower()]


def _mapping(text: str) -> dict[str, str]:
    pairs = [[part.strip() for part in entry.partition("=")] for entry in text.split(",") if entry.strip()]
    found = {key: value for key, _, value in pairs}
    if not all(key and value for key, _, value in pairs) or len(found) < len(pairs):
        raise ValueError("a name or a value is missing, or a name is given twice")
    return found


# ---- what is accepted -----------------------------------------------------------------------------------------------


def _allowed(kind: inspect.Type) -> str:
    """What a setting of this kind accepts, in words."""
    match kind:
        case inspect.BoolType():
            return "true or false (or yes or no, on or off, 1 or 0)"
        case inspect.LiteralType(values):
            return " or ".join(", ".join(map(str, values)).rsplit(", ", 1))
        case inspect.IntType():
            return f"a whole number{_range(kind)}"
        case inspect.FloatType():
            return f"a number{_range(kind)}"
        case inspect.VarTupleType():
            return f'a list: a,b as text, or ["a", "b"] in {SETTINGS_FILE}'
        case inspect.DictType():
            return (
                f'a mapping, each name once: NAME=VALUE,NAME=VALUE as text, or {{ NAME = "VALUE" }} in {SETTINGS_FILE}'
            )
    return "text"


def _range(kind: inspect.IntType | inspect.FloatType) -> str:
    least = kind.ge if kind.ge is not None and kind.ge > -1e300 else None  # the bound of AnyNumber only excludes NaN
    if least is not None and kind.le is not None:
        return f" from {least:g} to {kind.le:g}"
    if least is not None:
        return f", {least:g} or more"
    return "" if kind.gt is None else f" greater than {kind.gt:g}"


def _kind(type_: Any) -> inspect.Type:
    """The type of a field. For an optional field it is the type of its values; choices keep the order of the source."""
    found = inspect.type_info(type_)
    if isinstance(found, inspect.UnionType):
        return _kind(next(part for part in get_args(type_) if part is not NoneType))
    return inspect.LiteralType(get_args(type_)) if isinstance(found, inspect.LiteralType) else found


_TYPES = {info.encode_name: info.type for info in msgspec.structs.fields(Settings)}
_KINDS = {name: _kind(type_) for name, type_ in _TYPES.items()}
