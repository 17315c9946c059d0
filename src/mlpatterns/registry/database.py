"""Queries of the registry's database: plain SELECTs through the driver, because servers never import SQLAlchemy."""

from __future__ import annotations

from contextlib import suppress
from functools import cached_property, partial
from typing import Any

from mlpatterns.references import RegisteredReference
from mlpatterns.registry.drivers import Driver, driver_for
from mlpatterns.registry.unknown import unknown, unknown_model
from mlpatterns.registry.urls import empty_file, scheme_of, sqlite_file, unusable
from mlpatterns.stores.registry import VersionFiles
from mlpatterns.user_errors import RegistryDown

__all__ = ["DatabaseConnection"]

VERSION = (
    "SELECT v.number, a.url, a.manifest_sha256 FROM models m JOIN versions v ON v.model_id = m.model_id"
    " JOIN artifacts a ON a.version_id = v.version_id"
)
BY_NUMBER = f"{VERSION} WHERE m.model_name = ? AND v.number = ?"
BY_ALIAS = (
    f"{VERSION} JOIN aliases n ON n.model_id = v.model_id AND n.number = v.number"
    " WHERE m.model_name = ? AND n.alias = ?"
)
MODELS = "SELECT model_name FROM models"
NUMBERS = "SELECT v.number FROM versions v JOIN models m ON m.model_id = v.model_id WHERE m.model_name = ?"
ALIASES = "SELECT n.alias FROM aliases n JOIN models m ON m.model_id = n.model_id WHERE m.model_name = ?"


class DatabaseConnection:
    """A RegistryConnection to a database. It connects at the first query, and again if the connection was lost.

    Args:
        url: `sqlite:///FILE`, `postgresql://…` or `mysql://…`.

    Raises:
        UserError: the URL is not the URL of a registry database.
    """

    def __init__(self, url: str) -> None:
        scheme_of(url)
        self._url, self._file = url, sqlite_file(url)
        self._connection: Any = None

    @cached_property
    def _driver(self) -> Driver:
        return driver_for(self._url)

    def find(self, reference: RegisteredReference) -> VersionFiles:
        """See Registry.find.

        Raises:
            UserError: the URL has an option that the driver does not know.
            RegistryDown: the database does not answer, or the file does not contain the registry's tables.
        """
        if self._file is not None and not self._file.exists():
            raise unknown_model(reference.name)
        driver, had_connection = self._driver, self._connection is not None
        try:
            try:
                return self._asked(reference)
            except driver.lost:
                if not had_connection:
                    raise
            return self._asked(reference)
        except driver.error as error:
            if driver.no_table(error):
                raise (unknown_model(reference.name) if self._file is None else empty_file(self._url)) from None
            raise RegistryDown(str(unusable(self._url, error))) from error

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(self._driver.error):  # the connection may be broken already
                connection.close()

    def _asked(self, reference: RegisteredReference) -> VersionFiles:
        """Runs the query. A connection that fails is closed."""
        try:
            if self._connection is None:
                self._connection = self._driver.connect()
            return self._found(reference)
        except self._driver.error:
            self.close()
            raise
        finally:
            if self._file is not None:  # before the next query, the file may be replaced
                self.close()

    def _found(self, reference: RegisteredReference) -> VersionFiles:
        name, number = reference.name, reference.version
        rows = self._rows(BY_ALIAS, name, reference.alias) if number is None else self._rows(BY_NUMBER, name, number)
        if rows:
            return VersionFiles(*rows[0])
        versions, aliases = (partial(self._column, statement, name) for statement in (NUMBERS, ALIASES))
        raise unknown(reference, self._column(MODELS), versions, aliases)

    def _column(self, statement: str, *values: str) -> list[Any]:
        return [row[0] for row in self._rows(statement, *values)]

    def _rows(self, statement: str, *values: str | int) -> list[Any]:
        cursor = self._connection.cursor()
        cursor.execute(statement.replace("?", self._driver.marker), values)
        return list(cursor.fetchall())
