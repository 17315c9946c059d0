"""Which class names a model answers with: those that its user gives, those beside it, or those that its graph holds."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from msgspec.structs import replace

from mlpatterns.errors import ModelFileError, SettingsError
from mlpatterns.metadata import ModelMetadata
from mlpatterns.onnx_format.classes import Classes

__all__ = ["check_labels", "labelled"]

log = logging.getLogger("mlpatterns")

ONE_SCORE = (1, 2)  # one score for two labels


def labelled(
    metadata: ModelMetadata,
    labels: tuple[str, ...],
    threshold: float | None,
    own: Classes | None,
    shape: Sequence[int],
) -> ModelMetadata:
    """`metadata` with class names by index, and the threshold between two of them where there is one score.

    Args:
        labels: that the user gives, or nothing.
        threshold: that the user gives.
        own: the classes in the graph.
        shape: of the primary output; its sizes may be variable.

    Raises:
        SettingsError: the labels or the threshold do not fit the model.
        ModelFileError: the labels in the metadata do not.
    """
    output, said = metadata.primary_output, labels or metadata.labels
    if own is not None and own.own and said and said != own.names:
        raise _contradiction(labels, said, own.names)
    if labels:
        check_labels(len(labels), output, shape)
    found = said or _fitting(own, shape, threshold, metadata.name)
    one_score = _scores(shape, len(found)) == ONE_SCORE
    if threshold is not None and not one_score:
        way = "leave --threshold out" if found else "name them with --labels"
        raise SettingsError(f"a threshold is for one score with two labels, but the model's {output!r} has "
                            f"{_what(shape)} and {len(found) or 'no'} labels; {way}")  # fmt: skip
    threshold = metadata.threshold if threshold is None else threshold
    if labels and one_score and threshold is None:
        raise SettingsError(f"the model's {output!r} has one score for the labels {', '.join(labels)}; say with "
                            "--threshold above which it is the second: 0.5 for a probability, "
                            "0 for a decision function")  # fmt: skip
    return replace(metadata, labels=found, threshold=threshold)


def check_labels(count: int, output: str, shape: Sequence[int]) -> None:
    """That so many labels can name the scores of an output; its sizes may be variable, and () is a shape not known.

    One score can have two names (`tensors.best_labels`).

    Raises:
        SettingsError: they cannot.
    """
    if shape and not _can_name(count, shape):
        raise SettingsError(f"the labels are {count}, but the model's {output!r} has {_what(shape)}; "
                            "give one label a score, or no --labels")  # fmt: skip


def _fitting(own: Classes | None, shape: Sequence[int], threshold: float | None, model: str) -> tuple[str, ...]:
    """The classes of the graph, if the scores are theirs."""
    if own is None or not _can_name(len(own.names), shape):
        return ()
    if _scores(shape, len(own.names)) == ONE_SCORE and threshold is None:
        log.warning("%s has one score for its classes %s: --threshold says above which it is the second, so that it "
                    "can answer with labels", model, ", ".join(own.names))  # fmt: skip
        return ()
    return own.names


def _can_name(count: int, shape: Sequence[int]) -> bool:
    return (len(shape) == 2 and shape[1] in (-1, count)) or _scores(shape, count) == ONE_SCORE


def _scores(shape: Sequence[int], count: int) -> tuple[int, int]:
    if len(shape) == 1:  # one score a row, without an axis of its own
        return (1, count)
    return (shape[1] if len(shape) == 2 else 0, count)


def _what(shape: Sequence[int]) -> str:
    if len(shape) != 2:
        return f"the shape {list(shape)} and so no score for each label"
    return f"{shape[1]} scores a row" if shape[1] != 1 else "1 score a row"


def _contradiction(labels: tuple[str, ...], said: tuple[str, ...], own: tuple[str, ...]) -> Exception:
    names = f"{', '.join(said)}, but the model's own classes are {', '.join(own)}, in this order"
    if labels:
        return SettingsError(f"the labels are {names}; leave --labels out")
    return ModelFileError(f"the labels in its metadata are {names}; mend them, or leave them out")
