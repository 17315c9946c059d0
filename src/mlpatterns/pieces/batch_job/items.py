"""The operations on a table that is predicted in place: they list its rows as JSON, and add rows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw, Struct

from mlpatterns.errors import InvalidInput, MlpatternsError, PredictionError, Unavailable
from mlpatterns.predictor import Caller, Operation, Streamed
from mlpatterns.stores.batch import BatchItems, BatchSource, Page
from mlpatterns.stores.batch.where import Comparison
from mlpatterns.user_errors import UserError

__all__ = ["ItemOperations"]

PAGE = 1000  # rows read at once
MOST_ADDED = 10_000
COLUMNS = ("values", "prediction", "created_datetime", "updated_datetime")
KEPT = {
    "all": (),
    "predicted": (Comparison("prediction", "!=", None),),
    "unpredicted": (Comparison("prediction", "=", None),),
}


Id = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]  # the range of 64-bit integers in a database


class ItemsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """A page: at most `limit` rows, with ids greater than `after`; by default all rows."""

    limit: int | None = None
    after: Id | None = None


class BatchItem(Struct, frozen=True):
    """One row."""

    id: int
    values: Raw
    prediction: Raw | None
    created_datetime: str
    updated_datetime: str


class AddItems(Struct, frozen=True, forbid_unknown_fields=True):
    """Rows to predict, in the input format of the model."""

    values: list[Any]


class Added(Struct, frozen=True):
    rows: int


class ItemOperations:
    """`/data/all`, `/data/predicted`, `/data/unpredicted`, and `/data/add`, which needs the admin token."""

    def __init__(self) -> None:
        self.operations: Sequence[Operation] = (
            Operation("data/all", "query", "public", ItemsQuery, list[Any], self._all),
            Operation("data/predicted", "query", "public", ItemsQuery, list[Any], self._predicted),
            Operation("data/unpredicted", "query", "public", ItemsQuery, list[Any], self._unpredicted),
            Operation("data/add", "command", "token", AddItems, Added, self._add),
        )

    def start(self, source: BatchSource, items: BatchItems) -> None:
        self._source, self._items = source, items

    async def _all(self, query: ItemsQuery, caller: Caller) -> Streamed:
        """All rows, in the order of their ids."""
        return await self._list("all", query)

    async def _predicted(self, query: ItemsQuery, caller: Caller) -> Streamed:
        """The rows that have a prediction, in the order of their ids."""
        return await self._list("predicted", query)

    async def _unpredicted(self, query: ItemsQuery, caller: Caller) -> Streamed:
        """The rows that have no prediction yet, in the order of their ids."""
        return await self._list("unpredicted", query)

    async def _list(self, kind: str, query: ItemsQuery) -> Streamed:
        """The rows as a JSON list, which is sent while the table is read."""
        if query.limit is not None and query.limit < 0:
            raise InvalidInput("the limit must not be negative")
        left = query.limit
        first = await self._page(kind, query.after, PAGE if left is None else min(PAGE, left))
        return Streamed(self._text(kind, first, left))

    async def _text(self, kind: str, page: Page | None, left: int | None) -> AsyncIterator[bytes]:
        start = b"["
        while page is not None:
            yield start + b",".join(_lines(page))
            start = b","
            if left is not None:
                left -= len(page.keys)
            page = await self._page(kind, page.after, PAGE if left is None else min(PAGE, left))
        yield b"]" if start == b"," else b"[]"

    async def _page(self, kind: str, after: int | None, limit: int) -> Page | None:
        if limit <= 0:
            return None
        try:
            return await self._source.read(COLUMNS, after, limit, KEPT[kind])
        except PredictionError as error:
            raise Unavailable("the table does not answer; try again later", retry_after=1) from error
        except UserError as error:
            raise Unavailable("the table does not exist yet, or is not a table of items", retry_after=1) from error

    async def _add(self, command: AddItems, caller: Caller) -> Added:
        """Adds rows, which the next run predicts."""
        if not 0 < len(command.values) <= MOST_ADDED:
            raise InvalidInput(f"add 1 to {MOST_ADDED} rows at once")
        try:
            await self._items.add(command.values)
        except MlpatternsError as error:
            raise Unavailable("the table does not answer; try again later", retry_after=1) from error
        return Added(len(command.values))


def _lines(page: Page) -> list[bytes]:
    values, predictions, created, updated = (page.columns[name] for name in COLUMNS)
    return [
        msgspec.json.encode(
            BatchItem(
                key, Raw(value.encode()), Raw(prediction.encode()) if prediction else None, str(made), str(changed)
            )
        )
        for key, value, prediction, made, changed in zip(page.keys, values, predictions, created, updated, strict=True)
    ]
