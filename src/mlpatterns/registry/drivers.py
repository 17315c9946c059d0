"""The drivers of the three databases: how to connect with each, and what its errors mean.

Each connection has time limits of a few seconds. Each statement sees what was committed before it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, unquote

from msgspec import Struct

from mlpatterns.redaction import redact
from mlpatterns.registry.urls import DATABASE_URL, scheme_of, sqlite_file
from mlpatterns.user_errors import MissingExtra, UserError

__all__ = ["EXTRAS", "Driver", "driver_for"]

SECONDS = 3  # to connect, for the network, and for SQLite to wait while another process writes
EXTRAS = {"postgresql": ("a PostgreSQL registry", "postgres"), "mysql": ("a MySQL registry", "mysql")}
INTEGERS = ("port", "connect_timeout", "read_timeout", "write_timeout", "client_flag")
NO_SUCH_TABLE = 1146  # MySQL's error number


class Driver(Struct, frozen=True):
    """A database driver that follows PEP 249.

    Attributes:
        connect: opens a connection.
        error: the base class of its exceptions.
        lost: the exceptions after which a new connection may help.
        no_table: whether an error means that the registry's tables do not exist.
        marker: the placeholder for a value in a statement.
    """

    connect: Callable[[], Any]
    error: type[Exception]
    lost: tuple[type[Exception], ...]
    no_table: Callable[[Exception], bool]
    marker: str = "%s"


def driver_for(url: str) -> Driver:
    """The driver for a registry URL.

    Raises:
        MissingExtra: the driver is not installed.
        UserError: the URL is malformed.
    """
    scheme = scheme_of(url)
    if scheme == "sqlite":
        return _sqlite(url)
    try:
        return _postgresql(url) if scheme == "postgresql" else _mysql(url)
    except ImportError as error:
        raise MissingExtra(*EXTRAS[scheme]) from error


def _sqlite(url: str) -> Driver:
    import sqlite3

    file = sqlite_file(url)
    assert file is not None
    # mode=ro could not read a file whose writer was killed in the middle of a commit. mode=rw does not create a file.
    place = f"{file.absolute().as_uri()}?mode=rw"

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(place, timeout=SECONDS, uri=True, isolation_level=None)
        connection.execute("PRAGMA query_only = ON")
        return connection

    return Driver(connect, sqlite3.Error, (), lambda error: "no such table" in str(error), marker="?")


def _postgresql(url: str) -> Driver:
    import psycopg
    from psycopg.errors import UndefinedTable

    given = _options(url, database="dbname")
    hosts = [host.rpartition(":") for host in given.get("host", "").split(",")]
    if len(hosts) > 1 and all(port.isdigit() for _, _, port in hosts):  # ?host=a:5432&host=b:5432
        given |= {"host": ",".join(host for host, _, _ in hosts), "port": ",".join(port for _, _, port in hosts)}
    options: dict[str, Any] = {
        "application_name": "mlpatterns",
        "connect_timeout": SECONDS,
        "tcp_user_timeout": SECONDS * 1000,
        **given,
        "client_encoding": "utf8",
    }
    # No prepared statements: a connection pooler between this process and the server would mix them up.
    connect = partial(psycopg.connect, autocommit=True, prepare_threshold=None, **options)
    lost = (psycopg.OperationalError, psycopg.InterfaceError)
    return Driver(connect, psycopg.Error, lost, lambda error: isinstance(error, UndefinedTable))


def _mysql(url: str) -> Driver:
    import pymysql

    given = _options(url, database="database")
    options: dict[str, Any] = {"charset": "utf8mb4"}
    options |= {f"{what}_timeout": SECONDS for what in ("connect", "read", "write")}
    options |= {name: int(value) if name in INTEGERS else value for name, value in given.items()}
    security = {name: options.pop(name) for name in [*options] if name.startswith("ssl_")}
    if security:
        options["ssl"] = {
            name.removeprefix("ssl_"): False if value == "false" else value for name, value in security.items()
        }

    def connect() -> Any:
        try:
            return pymysql.connect(autocommit=True, **options)
        except TypeError as error:  # PyMySQL does not know an option
            raise UserError(f"{redact(url)!r} is not a database URL") from error

    lost = (pymysql.OperationalError, pymysql.InterfaceError)
    return Driver(connect, pymysql.Error, lost, lambda error: error.args[:1] == (NO_SUCH_TABLE,))


def _options(url: str, database: str) -> dict[str, str]:
    """The connection options of a URL, by the driver's names for them."""
    match = DATABASE_URL.fullmatch(url)
    if match is None:
        raise UserError(f"{redact(url)!r} is not a database URL")
    found = {"host": match["ipv6"] or match["host"], "port": match["port"]}
    for name, part in (("user", "user"), ("password", "password"), (database, "database")):
        found[name] = unquote(match[part] or "")
    query: dict[str, list[str]] = {}
    for name, value in parse_qsl(match["query"] or ""):
        query.setdefault(name, []).append(value)
    return {name: value for name, value in found.items() if value} | {
        name: ",".join(values) for name, values in query.items()
    }
