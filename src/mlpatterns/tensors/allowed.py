"""What a request may leave out: whole inputs, and values of columns."""

from __future__ import annotations

from mlpatterns.metadata import TensorSpec

__all__ = ["allow_missing", "full_columns", "may_miss", "required"]


def required(spec: TensorSpec) -> bool:
    """Whether an input must be sent: one that has a value of its own need not be."""
    return not spec.optional


def may_miss(spec: TensorSpec, column: str) -> bool:
    """Whether null is accepted in this column of an input."""
    return spec.missing and (not spec.missing_fields or column in spec.missing_fields)


def full_columns(spec: TensorSpec) -> list[int]:
    """The places of the columns of an input that may not miss a value, where others may."""
    return [place for place, name in enumerate(spec.fields) if spec.missing and not may_miss(spec, name)]


def allow_missing(column: str = "") -> str:
    """What follows a sentence that refuses null."""
    return f" (allow it with missing=True in the model's TensorSpec or --missing {column or 'all'})"
