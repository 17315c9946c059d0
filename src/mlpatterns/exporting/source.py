"""The source of an export: the model's answers to its sample, and the ways to convert it to a graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from mlpatterns.metadata import Array
from mlpatterns.user_errors import UserError

__all__ = ["Draft", "ExportSource", "first_line", "refused_sample"]


class Draft(Struct):
    """One way to make the graph.

    Attributes:
        inputs: the sample as the graph takes it, by input name.
        make: makes the ModelProto; it may raise anything.
        fields: the column names of the one input, or empty.
    """

    inputs: Mapping[str, Array]
    make: Callable[[], Any]
    fields: tuple[str, ...] = ()


class ExportSource(Struct):
    """A model with its expected answers.

    Attributes:
        kind: the class name of the model, e.g. ``RandomForestClassifier``.
        expected: its answers to the sample by output name, [rows, …], in the order of the graph's outputs.
        drafts: the ways to make its graph, the best first; the first that is proven is used.
        primary: the output that the simple API returns.
        labels: class names by index, or empty.
        threshold: of one score for two labels.
        untyped: the columns of the sample that ONNX has no type for, with their type.
        again: computes the model's answers to other inputs, if the rows of a batch may affect each other.
    """

    kind: str
    expected: Mapping[str, Array]
    drafts: Sequence[Draft]
    primary: str
    labels: tuple[str, ...] = ()
    threshold: float | None = None
    untyped: Mapping[str, str] = {}
    again: Callable[[Mapping[str, Array]], Mapping[str, Array]] | None = None


def first_line(error: BaseException) -> str:
    """The first line of a library's error, at most 300 characters."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    if isinstance(error, (LookupError, AttributeError, AssertionError)):  # not written for users
        text = f"its converter fails with {type(error).__name__} {text}"
    return (text if len(text) <= 300 else f"{text[:300]}…").rstrip(".:")


def refused_sample(kind: str, error: BaseException) -> UserError:
    """The error for a model that does not accept its own sample: it is not fitted, or the sample does not fit it."""
    if type(error).__name__ in ("NotFittedError", "XGBoostError") and "fit" in str(error).lower():
        return UserError(f"the {kind} is not fitted; fit it, then export it")
    return UserError(f"the {kind} does not predict the sample: {first_line(error)}")
