"""The options in the URL of a store: `memory://?max_entries=10000&max_bytes=64MiB`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl

from mlpatterns.redaction import redact
from mlpatterns.user_errors import SettingsError

__all__ = ["bounds_of", "split_url"]

UNITS = {"": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_SIZE = re.compile(r"([1-9][0-9]{0,14})(|KiB|MiB|GiB)")


def split_url(url: str) -> tuple[str, dict[str, str]]:
    """The URL without its query, and the options of the query by name.

    Raises:
        SettingsError: the query is malformed, or has an option twice.
    """
    base, _, query = url.partition("?")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:
        raise SettingsError(f"{redact(url)}: what follows the '?' must be NAME=VALUE&NAME=VALUE") from None
    found = dict(pairs)
    if len(found) < len(pairs):
        raise SettingsError(f"{redact(url)} has an option twice")
    return base, found


def bounds_of(url: str, given: Mapping[str, str], defaults: Mapping[str, int]) -> dict[str, int]:
    """The sizes in `defaults`, replaced by those that are in `given`.

    Raises:
        SettingsError: a name is not in `defaults`, or a value is not a size.
    """
    for name, value in given.items():
        if name not in defaults:
            raise SettingsError(f"{redact(url)} has no option {name[:64]!r}; the options are {', '.join(defaults)}")
        if not _SIZE.fullmatch(value):
            raise SettingsError(f"{redact(url)}: {name} must be a whole number, or one with KiB, MiB or GiB: 64MiB")
    return {**defaults, **{name: _size(value) for name, value in given.items()}}


def _size(value: str) -> int:
    number, unit = re.fullmatch(r"(\d+)(\D*)", value).groups()  # type: ignore[union-attr]
    return int(number) * UNITS[unit]
