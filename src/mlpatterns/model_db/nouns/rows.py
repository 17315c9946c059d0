"""From mapped objects to the records that leave the room."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime
from typing import Any, TypeVar

__all__ = ["row"]

R = TypeVar("R")


def row(kind: type[R], found: Any) -> R:
    """The record of `kind` with the attributes of `found`; times say that they are UTC."""
    return kind(**{field.name: _value(getattr(found, field.name)) for field in fields(kind)})  # type: ignore[arg-type]


def _value(value: Any) -> Any:
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else value
