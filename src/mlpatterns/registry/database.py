"""The registry's database asked by plain SELECTs, with the driver alone: a server never imports SQLAlchemy."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from mlpatterns.errors import RegistryDown, UnknownName
from mlpatterns.references import RegisteredReference
from mlpatterns.registry.drivers import Driver, driver_for
from mlpatterns.registry.unknown import unknown_alias, unknown_model, unknown_version
from mlpatterns.registry.urls import scheme_of, sqlite_file, unusable
from mlpatterns.stores.registry import Answer

__all__ = ["DatabaseAsker"]

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


class DatabaseAsker:
    """An Asker of a database. It connects at the first question, and once more if the connection was lost meanwhile.

    Args:
        url: `sqlite:///FILE`, `postgresql://…` or `mysql://…`.

    Raises:
        UserError: the URL is no registry's.
    """

    def __init__(self, url: str) -> None:
        scheme_of(url)
        self._url, self._file = url, sqlite_file(url)
        self._driver: Driver | None = None
        self._connection: Any = None

    def find(self, reference: RegisteredReference) -> Answer:
        """As Registry.find.

        Raises:
            UserError: the URL has an option that its driver does not have.
        """
        if self._file is not None and not self._file.exists():
            raise unknown_model(reference.name)
        self._driver = driver = self._driver or driver_for(self._url)
        had_connection = self._connection is not None
        try:
            try:
                return self._asked(driver, reference)
            except driver.lost:
                if not had_connection:
                    raise
            return self._asked(driver, reference)
        except driver.error as error:
            if driver.no_table(error):
                raise unknown_model(reference.name) from None
            raise RegistryDown(str(unusable(self._url, error))) from error

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if self._driver is not None and connection is not None:
            with suppress(self._driver.error):  # of a connection that is broken already
                connection.close()

    def _asked(self, driver: Driver, reference: RegisteredReference) -> Answer:
        """Asks over the connection; one that fails is not used again."""
        try:
            if self._connection is None:
                self._connection = driver.connect()
            return self._found(driver, reference)
        except driver.error:
            self.close()
            raise
        finally:
            if self._file is not None:  # the file may be another by the next question
                self.close()

    def _found(self, driver: Driver, reference: RegisteredReference) -> Answer:
        name, number = reference.name, reference.version
        if number is None:
            rows = self._rows(driver, BY_ALIAS, name, reference.alias)
        else:
            rows = self._rows(driver, BY_NUMBER, name, number)
        if not rows:
            raise self._unknown(driver, reference)
        return Answer(*rows[0])

    def _unknown(self, driver: Driver, reference: RegisteredReference) -> UnknownName:
        """Says which part of the reference is not there, and what there is instead."""
        name = reference.name
        models = [row[0] for row in self._rows(driver, MODELS)]
        if name not in models:
            return unknown_model(name, models)
        if reference.version is not None:
            return unknown_version(name, reference.version, (row[0] for row in self._rows(driver, NUMBERS, name)))
        return unknown_alias(name, reference.alias, (row[0] for row in self._rows(driver, ALIASES, name)))

    def _rows(self, driver: Driver, statement: str, *values: str | int) -> list[Any]:
        cursor = self._connection.cursor()
        cursor.execute(statement.replace("?", driver.marker), values)
        return list(cursor.fetchall())
