"""Which inputs, and which values of columns, a request may leave out."""

from __future__ import annotations

from mlpatterns.metadata import TensorSpec

__all__ = ["allow_missing", "full_columns", "may_miss", "required"]


def required(spec: TensorSpec) -> bool:
    """Whether an input must be sent. An input with a default value is optional."""
    return not spec.optional


def may_miss(spec: TensorSpec, column: str) -> bool:
    """Whether null is accepted in this column of an input."""
    return spec.missing and (not spec.missing_fields or column in spec.missing_fields)


def full_columns(spec: TensorSpec) -> list[int]:
    """The indices of the columns that must have a value, if the input may miss values in other columns; else none."""
    return [place for place, name in enumerate(spec.fields) if spec.missing and not may_miss(spec, name)]


def allow_missing(column: str = "") -> str:
    """The end of an error text about null: how to allow it."""
    return f" (allow it with missing=True in the model's TensorSpec or --missing {column or 'all'})"
