"""The options in the URL of a batch table: the table, its key column, and the column for predictions."""

from __future__ import annotations

from msgspec import Struct

from mlpatterns.redaction import redact
from mlpatterns.stores.urls import split_url
from mlpatterns.user_errors import SettingsError

__all__ = ["TablePlace", "table_place"]


class TablePlace(Struct, frozen=True):
    """A table; `url` is the URL of its database."""

    url: str
    table: str = "items"
    key: str = "id"
    into: str | None = None


def table_place(url: str) -> TablePlace:
    """Separates the table options from a URL. The rest is the URL for the database driver.

    Raises:
        SettingsError: an option is malformed.
    """
    base, _, query = url.partition("?")
    _, given = split_url(url)
    mine = {name: value for name, value in given.items() if name in ("table", "key", "into")}
    if not all(0 < len(value) <= 63 and value.isprintable() for value in mine.values()):
        raise SettingsError(f"{redact(url)}: table, key and into are names of 1 to 63 characters")
    rest = "&".join(part for part in query.split("&") if part.partition("=")[0] not in ("table", "key", "into", ""))
    return TablePlace(f"{base}?{rest}" if rest else base, **mine)
