"""Pages of a listing, in a fixed order: each begins where the previous one ended, even if rows were added meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct
from sqlalchemy import Select, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

from mlpatterns.errors import InvalidInput

__all__ = ["LIMIT", "MOST", "PageRequest", "paged"]

LIMIT, MOST = 1000, 10_000  # rows of a page: by default, and at most


class PageRequest(Struct, frozen=True):
    """A page: at most `limit` rows after the position `after`, which the previous page returned, or from the start."""

    limit: int = LIMIT
    after: str | None = None


def paged(
    session: Session, query: Select[Any], keys: Sequence[InstrumentedAttribute[Any]], page: PageRequest
) -> tuple[list[Any], str | None]:
    """The rows of one page in the order of `keys`, and the position where the next page begins; None on the last page.

    Raises:
        InvalidInput: `after` is not a position that a page returned.
    """
    if page.after is not None:
        query = query.where(tuple_(*keys) > tuple_(*_place(page.after, keys)))
    found = list(session.scalars(query.order_by(*keys).limit(page.limit + 1)).unique())
    if len(found) <= page.limit:
        return found, None
    last = found[page.limit - 1]
    return found[: page.limit], "~".join(_text(getattr(last, key.key)) for key in keys)


def _text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _place(after: str, keys: Sequence[InstrumentedAttribute[Any]]) -> list[Any]:
    parts = after.split("~")
    try:
        kinds = [key.type.python_type for key in keys]
        return [datetime.fromisoformat(part) if kind is datetime else kind(part)
                for kind, part in zip(kinds, parts, strict=True)]  # fmt: skip
    except ValueError as error:
        raise InvalidInput("after must be the position in the link of the previous page") from error
