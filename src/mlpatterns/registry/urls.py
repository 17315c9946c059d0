"""Registry URLs, without SQLAlchemy: where the default one is."""

from __future__ import annotations

from pathlib import Path

from mlpatterns.errors import UserError
from mlpatterns.redaction import redact

__all__ = ["DRIVERS", "MANIFEST_BYTES", "artifacts_url", "below", "default_url", "scheme_of", "sqlite_file"]

MANIFEST_BYTES = 1 << 20  # of the list of an artifact's files, at most
DRIVERS = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql"}


def default_url(home: Path) -> str:
    """The registry of `home` when none is set."""
    return f"sqlite:///{(home / 'registry.db').absolute()}"


def artifacts_url(home: Path, given: str | None = None) -> str:
    """What the URLs of artifacts are relative to, so that all of them can move: the folder of `home` unless given."""
    return given or (home / "artifacts").absolute().as_uri()


def below(root: str, url: str) -> str | None:
    """The URL of an artifact relative to `root`, or None for one that lies elsewhere."""
    if "://" not in url:
        return url
    head = f"{root.rstrip('/')}/"
    return url.removeprefix(head) if url.startswith(head) else None


def scheme_of(url: str) -> str:
    """The kind of database: ``sqlite``, ``postgresql`` or ``mysql``.

    Raises:
        UserError: for any other URL.
    """
    scheme = url.partition(":")[0].partition("+")[0]
    if scheme not in DRIVERS or "://" not in url:
        raise UserError(f"no registry at {redact(url)!r}; write sqlite:///FILE, postgresql://… or mysql://…")
    return scheme


def sqlite_file(url: str) -> Path | None:
    """The file of an SQLite URL, None for another database.

    Raises:
        UserError: for a database in memory, which no other process could read.
    """
    if scheme_of(url) != "sqlite":
        return None
    path = url.partition("://")[2].removeprefix("/").partition("?")[0]
    if path in ("", ":memory:"):
        raise UserError("a registry in memory would be lost at once; write sqlite:///FILE")
    return Path(path)
