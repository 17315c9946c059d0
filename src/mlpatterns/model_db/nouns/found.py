"""What projects, models and experiments have in common: they are found by id, by name, or by words in their text."""

from __future__ import annotations

from typing import Any, TypeVar

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from mlpatterns.errors import NotFound

__all__ = ["found_by_id", "found_by_name", "has_words"]

M = TypeVar("M")


def found_by_id(session: Session, kind: type[M], key: str) -> M:
    """
    Raises:
        NotFound: no such row; the sentence says which route lists those there are.
    """
    found = session.get(kind, key)
    if found is None:
        raise _not_found(kind, "id")
    return found


def found_by_name(session: Session, kind: type[M], column: InstrumentedAttribute[str], name: str) -> M:
    """As `found_by_id`."""
    found = session.scalar(select(kind).where(column == name))
    if found is None:
        raise _not_found(kind, "name")
    return found


def has_words(words: str, *columns: InstrumentedAttribute[Any]) -> ColumnElement[bool]:
    """Whether one of the columns has these words, in large letters or small."""
    first, *others = (column.icontains(words, autoescape=True) for column in columns)
    for other in others:
        first = first | other
    return first


def _not_found(kind: type, by: str) -> NotFound:
    noun = kind.__name__.lower()
    return NotFound(f"there is no {noun} of this {by}; GET /{noun}s/all lists them")
