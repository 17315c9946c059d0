"""Parses registry URLs, and creates the errors about them. SQLAlchemy is not imported."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

from mlpatterns.redaction import redact
from mlpatterns.user_errors import RegistryDown, UserError

__all__ = [
    "DATABASE_URL", "DRIVERS", "MANIFEST_BYTES", "empty_file", "is_service", "relative_url", "scheme_of",
    "sqlite_file", "unusable",
]  # fmt: skip

MANIFEST_BYTES = 1 << 20  # the largest size of a manifest
DRIVERS = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql"}

# The URL syntax of SQLAlchemy, with which the registry is written. A password may contain a "/".
DATABASE_URL = re.compile(
    r"[\w+]+://(?:(?P<user>[^:/]*)(?::(?P<password>[^@]*))?@)?(?:\[(?P<ipv6>[^/?]+)\]|(?P<host>[^/:?]+))?"
    r"(?::(?P<port>[0-9]*))?(?:/(?P<database>[^?]*))?(?:\?(?P<query>.*))?"
)


def relative_url(root: str, url: str) -> str | None:
    """The URL of an artifact relative to `root`, or None if it is not below `root`."""
    if "://" not in url:
        return url
    head = f"{root.rstrip('/')}/"
    return url.removeprefix(head) if url.startswith(head) else None


def is_service(url: str) -> bool:
    """Whether `url` is the address of a model DB's service, not of a database."""
    return url.startswith(("http://", "https://"))


def scheme_of(url: str) -> str:
    """The kind of database: ``sqlite``, ``postgresql`` or ``mysql``.

    Raises:
        UserError: it is any other URL.
    """
    if is_service(url):
        raise UserError(f"the service at {redact(url)} can only be queried; trainings, imports and model_db need "
                        "the database itself: sqlite:///FILE, postgresql://… or mysql://…")  # fmt: skip
    scheme = url.partition(":")[0].partition("+")[0]
    if scheme not in DRIVERS or "://" not in url:
        raise UserError(
            f"no registry at {redact(url)!r}; write sqlite:///FILE, postgresql://…, mysql://… or a service's http://HOST:PORT"
        )
    return scheme


def sqlite_file(url: str) -> Path | None:
    """The file of an SQLite URL; None for another database. In the path, `?` and `%` are escaped as `%3F` and `%25`.

    Raises:
        UserError: the URL is of a database in memory, which no other process could read.
    """
    if scheme_of(url) != "sqlite":
        return None
    path = url.partition("://")[2].removeprefix("/").partition("?")[0]
    if path in ("", ":memory:"):
        raise UserError("a registry in memory would be lost at once; write sqlite:///FILE")
    return Path(unquote(path))


def empty_file(url: str) -> RegistryDown:
    """The error for an SQLite file that exists but does not contain the registry's tables.

    Such a file was truncated or put there by mistake. A missing file, or a server's database without tables, is not an
    error: it is a registry that was not created yet.
    """
    return RegistryDown(
        f"the registry at {redact(url)} is a file without a registry's tables; restore it from a backup, or let "
        "`mlpatterns train NAME` or `mlpatterns registry import` make a new registry in it"
    )


def unusable(url: str, error: BaseException) -> UserError:
    """The error for a database that is down, locked, or not a database; `error` is the exception of the driver."""
    said = (str(error).strip().splitlines() or [type(error).__name__])[0]
    match = DATABASE_URL.fullmatch(url)
    if match and match["password"]:
        said = said.replace(unquote(match["password"]), "***")
    return UserError(f"the registry at {redact(url)} cannot be used: {said}")
