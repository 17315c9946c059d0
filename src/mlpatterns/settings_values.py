"""What the value of a setting may be: text becomes the field's type, and what does not is told what would."""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from types import NoneType
from typing import Any, get_args

import msgspec
from msgspec import UNSET, UnsetType, inspect

from mlpatterns.errors import SettingsError
from mlpatterns.redaction import redact
from mlpatterns.settings_fields import Settings
from mlpatterns.settings_sources import SETTINGS_FILE

__all__ = ["BOOLEANS", "SECRET", "check_origin", "converted"]

SECRET = ("api_keys", "admin_token", "alert_url")  # who knows a webhook may write to it
BOOLEANS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
UNITS = {"": 1, "kib": 2**10, "mib": 2**20, "gib": 2**30, "kb": 10**3, "mb": 10**6, "gb": 10**9}
_SIZE = re.compile(r"([0-9]+(?:_[0-9]+)*)\s*([a-zA-Z]*)")
_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")
_USUAL_PORTS = {("http", ":80"), ("https", ":443")}


def converted(name: str, value: Any, source: str) -> Any | UnsetType:
    """The value of the setting `name`: text is read as the field's type, an empty one is UNSET.

    A list is comma-separated in text, a mapping is NAME=VALUE,NAME=VALUE.

    Raises:
        SettingsError: it is none that the field may have; the sentence says which it may.
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
            raise ValueError("it is no finite number")
    except (msgspec.ValidationError, ValueError) as error:
        shown = "its value" if name in SECRET else redact(repr(str(value)[:100]))
        raise SettingsError(f"{name} ({source}): {shown} is not right: it must be {_allowed(kind)}") from error
    return found


def check_origin(origin: str) -> None:
    """Whether browsers name a site so: scheme, host, and the port if it is not the scheme's own.

    Raises:
        SettingsError: they do not, or it is not `*`.
    """
    if origin == "*":
        return
    found = _ORIGIN.fullmatch(origin)
    if found is None:
        raise SettingsError(
            f"cors_origins: {origin[:100]!r} is no origin; write https://HOST or http://HOST:PORT, in lower case and "
            "with nothing behind it, each site by its name, or * alone for every site"
        )
    if found.groups() in _USUAL_PORTS:
        raise SettingsError(
            f"cors_origins: browsers leave {found[2]!r} out of an origin; write {origin[: -len(found[2])]}"
        )


def _is_utf8(text: str) -> bool:
    """Whether text can be encoded: what the environment holds in another encoding has surrogates (PEP 383)."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


# ---- text ---------------------------------------------------------------------------------------------------------


def _read(kind: inspect.Type, text: str, *, size: bool) -> Any:
    """What msgspec converts, of `text`; as it is where nothing is known to do."""
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


# ---- what may be --------------------------------------------------------------------------------------------------


def _allowed(kind: inspect.Type) -> str:
    """What a setting of this kind must be, in words."""
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
    least = kind.ge if kind.ge is not None and kind.ge > -1e300 else None  # which stands for any but nan
    if least is not None and kind.le is not None:
        return f" from {least:g} to {kind.le:g}"
    if least is not None:
        return f", {least:g} or more"
    return "" if kind.gt is None else f" greater than {kind.gt:g}"


def _kind(type_: Any) -> inspect.Type:
    """Of an optional field, what it is when it is set; choices in the order in which they are written."""
    found = inspect.type_info(type_)
    if isinstance(found, inspect.UnionType):
        return _kind(next(part for part in get_args(type_) if part is not NoneType))
    return inspect.LiteralType(get_args(type_)) if isinstance(found, inspect.LiteralType) else found


_TYPES = {info.encode_name: info.type for info in msgspec.structs.fields(Settings)}
_KINDS = {name: _kind(type_) for name, type_ in _TYPES.items()}
