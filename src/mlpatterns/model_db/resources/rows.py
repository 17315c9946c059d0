"""Finding rows by id or name, checking names, and making records of rows."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from mlpatterns.errors import InvalidInput, NotFound
from mlpatterns.registry.labels import fault_of_label, fault_of_name

__all__ = ["check_label", "check_name", "found_by_id", "found_by_name", "has_words", "row"]

M = TypeVar("M")


def check_label(what: str, text: str) -> None:
    """
    Raises:
        InvalidInput: the three databases would not keep or find `text` alike.
    """
    fault = fault_of_label(text)
    if fault:
        raise InvalidInput(f"{what} {fault}")


def check_name(what: str, text: str) -> None:
    """
    Raises:
        InvalidInput: no reference could name it.
    """
    fault = fault_of_name(text)
    if fault:
        raise InvalidInput(f"{what} {fault}")


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
    """As `found_by_id`.

    Raises:
        InvalidInput: no row can have this name.
    """
    check_label(f"the {kind.__name__.lower()}'s name", name)
    found = session.scalar(select(kind).where(column == name))
    if found is None:
        raise _not_found(kind, "name")
    return found


def has_words(words: str, *columns: InstrumentedAttribute[Any]) -> ColumnElement[bool]:
    """A condition: one of the columns contains these words, without regard to case."""
    first, *others = (column.icontains(words, autoescape=True) for column in columns)
    for other in others:
        first = first | other
    return first


def _not_found(kind: type, by: str) -> NotFound:
    noun = kind.__name__.lower()
    return NotFound(f"there is no {noun} of this {by}; GET /{noun}s/all lists them")


R = TypeVar("R")


def row(kind: type[R], found: Any) -> R:
    """The record of `kind` with the attributes of `found`; times say that they are UTC."""
    return kind(**{field.name: _value(getattr(found, field.name)) for field in fields(kind)})  # type: ignore[arg-type]


def _value(value: Any) -> Any:
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else value
