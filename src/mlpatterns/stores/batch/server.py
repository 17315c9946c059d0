"""The common part of batch tables on database servers.

It uses a PEP 249 connection in autocommit mode, with explicit transactions."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from mlpatterns.errors import Unavailable
from mlpatterns.stores.batch.database import ConstraintViolated, Database

__all__ = ["ServerDatabase"]

T = TypeVar("T")


class ServerDatabase(Database):
    """A connection to a database server. After an error, a new connection is opened.

    Args:
        where: the name of the database in error texts.
        error: the base class of all exceptions of the driver.
    """

    mark = "%s"
    page = "batch_page_of_mlpatterns"  # a temporary table

    def __init__(self, where: str, error: type[Exception]) -> None:
        self._where, self._error = where, error
        self._connection: Any = None
        self._inside = False  # inside a transaction

    @abstractmethod
    def _connect(self) -> Any: ...

    @abstractmethod
    def _quoted(self, name: str) -> str: ...

    def name(self, name: str) -> str:
        return self._quoted(name).replace("%", "%%")  # to the driver, a single % begins a placeholder

    def query(self, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        def work() -> list[tuple[Any, ...]]:
            with self._cursor() as cursor:
                cursor.execute(statement, tuple(values))
                return list(cursor.fetchall())

        return self._reconnecting(work)

    def make(self, statements: Sequence[str]) -> None:
        for statement in statements:
            self.execute(statement, ())

    @contextmanager
    def transaction(self) -> Iterator[None]:
        if self._inside:
            yield
            return
        self._reconnecting(lambda: self.execute("BEGIN", ()))
        self._inside = True
        try:
            yield
            self.execute("COMMIT", ())
        except BaseException:
            self._roll_back()
            raise
        finally:
            self._inside = False

    def execute(self, statement: str, values: Sequence[Any]) -> int:
        with self._cursor() as cursor:
            cursor.execute(statement, tuple(values))
            return int(cursor.rowcount)

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(self._error, OSError):  # the connection may be broken already
                connection.close()

    @contextmanager
    def _cursor(self) -> Iterator[Any]:
        """A cursor. After an error the connection is closed, which ends its transaction."""
        try:
            if self._connection is None:
                if self._inside:
                    raise Unavailable(f"{self._where} was lost in the middle of a transaction")
                self._connection = self._connect()
            with self._connection.cursor() as cursor:
                yield cursor
        except (self._error, OSError) as error:
            self.close()
            refused = any(kind.__name__ == "IntegrityError" for kind in type(error).__mro__)  # the name in PEP 249
            does = "refuses the statement" if refused else "failed"
            text = f"{self._where} {does}: {' '.join(str(error).split())}"
            raise (ConstraintViolated(text) if refused else Unavailable(text)) from error

    def _reconnecting(self, work: Callable[[], T]) -> T:
        """The result of work that may run twice: once more if it began on a connection that a restart has ended."""
        had_connection = self._connection is not None and not self._inside
        try:
            return work()
        except Unavailable:
            if not had_connection:
                raise
        return work()

    def _roll_back(self) -> None:
        if self._connection is not None:
            with suppress(Unavailable):
                self.execute("ROLLBACK", ())

    def _columns(self, columns: Sequence[str]) -> str:
        return ", ".join(map(self.name, columns))
