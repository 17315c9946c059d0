"""Finds rows by id or name, checks names, and converts rows to records."""

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
        InvalidInput: the three databases would not store or find `text` alike.
    """
    fault = fault_of_label(text)
    if fault:
        raise InvalidInput(f"{what} {fault}")


def check_name(what: str, text: str) -> None:
    """
    Raises:
        InvalidInput: a reference cannot contain `text` as a name.
    """
    fault = fault_of_name(text)
    if fault:
        raise InvalidInput(f"{what} {fault}")


def found_by_id(session: Session, kind: type[M], key: str) -> M:
    """
    Raises:
        NotFound: there is no such row; the error text names the route that lists the rows.
    """
    found = session.get(kind, key)
    if found is None:
        raise _not_found(kind, "id")
    return found


def found_by_name(session: Session, kind: type[M], column: InstrumentedAttribute[str], name: str) -> M:
    """As `found_by_id`.

    Raises:
        InvalidInput: `name` is not a valid label.
    """
    check_label(f"the {kind.__name__.lower()}'s name", name)
    found = session.scalar(select(kind).where(column == name))
    if found is None:
        raise _not_found(kind, "name")
    return found


def has_words(words: str, *columns: InstrumentedAttribute[Any]) -> ColumnElement[bool]:
    """The condition that one of the columns contains these words. Case is ignored."""
    first, *others = (column.icontains(words, autoescape=True) for column in columns)
    for other in others:
        first = first | other
    return first


def _not_found(kind: type, by: str) -> NotFound:
    noun = kind.__name__.lower()
    return NotFound(f"there is no {noun} of this {by}; GET /{noun}s/all lists them")


R = TypeVar("R")


def row(kind: type[R], found: Any) -> R:
    """The record of `kind` with the attributes of `found`. Times get the time zone UTC."""
    return kind(**{field.name: _value(getattr(found, field.name)) for field in fields(kind)})  # type: ignore[arg-type]


def _value(value: Any) -> Any:
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else value
