"""Database sessions for requests, and the pages of listings."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Annotated, Any, TypeVar, cast
from urllib.parse import urlencode

from fastapi import Depends, Query, Request, Response
from sqlalchemy import Select, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import InstrumentedAttribute, Session

from mlpatterns.model_db.database import Writer
from mlpatterns.model_db.resources.paging import LIMIT, MOST, PageRequest, paged
from mlpatterns.model_db.resources.rows import row
from mlpatterns.model_db.upgrade import upgrade
from mlpatterns.settings import Settings
from mlpatterns.stores import open_objects

__all__ = ["Database", "Listing", "ListingRequest", "Sessions"]

log = logging.getLogger("mlpatterns")

T = TypeVar("T")
R = TypeVar("R")


class Sessions:
    """A database session for each request: `read` for queries, `write` for a transaction.

    Raises:
        UserError: the registry cannot be used.
    """

    def __init__(self, settings: Settings) -> None:
        self.home, self.artifacts = settings.home, settings.artifacts_url
        open_objects(self.artifacts)  # so that an invalid URL fails at the start
        self._engine = upgrade(settings.registry_url, create="missing")
        self._down = False

    def close(self) -> None:
        self._engine.dispose()

    def read(self, work: Callable[[Session], T]) -> T:
        with Session(self._engine) as session:
            return self._answered(work(session))

    def write(self, work: Callable[[Session], T]) -> T:
        """Runs `work` in a transaction, commits it and returns the result; see `Writer.run`."""
        return self._answered(Writer(self._engine).run(work))

    def failed(self, error: DBAPIError) -> None:
        """Logs an error of the database. Of an outage only the first error is logged, since every request has one."""
        if not (self._down and isinstance(error, OperationalError)):
            log.error("the registry's database failed: %s", " ".join(str(error.orig).split()))
        self._down = self._down or isinstance(error, OperationalError)

    def _answered(self, result: T) -> T:
        if self._down:
            log.info("the registry's database answers again")
        self._down = False
        return result

    def answers(self) -> None:
        """Checks that the database answers a trivial query.

        Raises:
            DBAPIError: the database does not answer.
        """
        self.read(lambda session: session.execute(text("SELECT 1")).scalar_one())


def _database(request: Request) -> Sessions:
    return cast("Sessions", request.app.state.database)


Database = Annotated[Sessions, Depends(_database)]


class ListingRequest:
    """The requested page of a listing. The response's `link` header has the URL of the next page."""

    def __init__(
        self,
        request: Request,
        response: Response,
        database: Database,
        limit: Annotated[int, Query(ge=1, le=MOST, description="The number of rows on a page.")] = LIMIT,
        after: Annotated[
            str | None,
            Query(max_length=200, description="The position where the previous page ended, from its `link` header."),
        ] = None,
    ) -> None:
        self._request, self._response, self._database = request, response, database
        self._page = PageRequest(limit, after)

    def rows(
        self,
        kind: type[R],
        query: Select[Any] | Callable[[Session], Select[Any]],
        keys: tuple[InstrumentedAttribute[Any], ...],
    ) -> list[R]:
        """The page of `query`, as records of `kind`."""

        def work(session: Session) -> tuple[list[R], str | None]:
            found, place = paged(session, query(session) if callable(query) else query, keys, self._page)
            return [row(kind, each) for each in found], place

        rows, place = self._database.read(work)
        if place is not None:
            asked = [pair for pair in self._request.query_params.multi_items() if pair[0] != "after"]
            self._response.headers["link"] = f'<?{urlencode([*asked, ("after", place)])}>; rel="next"'
        return rows


Listing = Annotated[ListingRequest, Depends()]
