"""Decides which class names a model has: those from the user, those in its metadata, or those in its graph."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from msgspec.structs import replace

from mlpatterns.metadata import DTYPES, ModelMetadata, TensorSpec
from mlpatterns.models.onnx.agreement import OwnAnswers
from mlpatterns.onnx_format.classes import Classes
from mlpatterns.tensors import is_label
from mlpatterns.user_errors import ModelFileError, SettingsError

__all__ = ["check_labels", "numbers", "with_labels"]

log = logging.getLogger("mlpatterns")


def with_labels(
    metadata: ModelMetadata,
    labels: tuple[str, ...],
    threshold: float | None,
    own: Classes | None,
    answers: OwnAnswers | None,
) -> ModelMetadata:
    """`metadata` with class names by index, and with the threshold if there is one score for two classes.

    If the scores are not in the order of the classes, the model's own label output becomes the primary output.

    Args:
        labels: the labels that the user gave; may be empty.
        threshold: the threshold that the user gave.
        own: the classes in the graph.
        answers: the answers of the model to rows around its sample, if it has a label output beside its scores.

    Raises:
        SettingsError: the labels or the threshold of the user do not fit the model.
        ModelFileError: the labels in the metadata contradict the graph.
    """
    said = labels or metadata.labels
    if own is not None and own.own and said and said != own.names:
        raise _contradiction(labels, said, own.names)
    if answers is not None and not answers.agree:
        return _by_label(metadata, said, answers)
    output = _primary(metadata)
    if own is not None and _is_place(output) and own.names != numbers(len(own.names)):
        if labels:
            raise SettingsError(f"the model's {output.name!r} is the class itself ({', '.join(own.names)}), and not "
                                "the index of a label; leave --labels out")  # fmt: skip
        return replace(metadata, labels=())
    if labels:
        check_labels(len(labels), output.name, output.shape, output.datatype)
    found = said or (own.names if own is not None and _can_name(len(own.names), output) else ())
    one_score = len(found) == 2 and _is_one_score(output)
    if threshold is not None and not one_score:
        raise _needless(output, found)
    if not one_score:
        return replace(metadata, labels=found)
    for known in (threshold, metadata.threshold, answers.threshold if answers else None):
        if known is not None:
            return replace(metadata, labels=found, threshold=known)
    return replace(metadata, labels=_undecided(metadata, output, labels, found))


def check_labels(count: int, output: str, shape: Sequence[int], datatype: str = "FP32") -> None:
    """Checks that `count` labels can name the scores of an output. Its sizes may be variable; the shape () is unknown.

    One score can have two names (`tensors.best_labels`).

    Raises:
        SettingsError: the number of labels does not fit.
    """
    spec = TensorSpec(output, datatype, tuple(shape))
    if shape and not _can_name(count, spec):
        raise SettingsError(f"the number of labels is {count}, but the model's {output!r} has {_what(spec)}; "
                            "give one label for each score, or leave --labels out")  # fmt: skip


def _by_label(metadata: ModelMetadata, said: tuple[str, ...], answers: OwnAnswers) -> ModelMetadata:
    """`metadata` with the label output as primary output. Texts are labels; 0, 1, 2 … are indices of labels."""
    log.warning("the scores of %s are in another order than its classes %s, so it answers with its own label, %r",
                metadata.name, ", ".join(answers.classes), answers.output)  # fmt: skip
    by_label = replace(metadata, primary_output=answers.output)
    if _primary(by_label).datatype == "BYTES":
        return replace(by_label, labels=answers.classes)
    return replace(by_label, labels=said if answers.classes == numbers(len(said)) else ())


def _undecided(
    metadata: ModelMetadata, output: TensorSpec, labels: tuple[str, ...], found: tuple[str, ...]
) -> tuple[str, ...]:
    """The labels if one score has no threshold: the labels in the metadata, else none.

    Raises:
        SettingsError: the user gave labels.
    """
    how = "say with --threshold above which it is the second: 0.5 for a probability, 0 for a decision function"
    if labels:
        raise SettingsError(f"the model's {output.name!r} has one score for the labels {', '.join(labels)}; {how}")
    if metadata.labels:
        return metadata.labels
    log.warning("%s has one score for its classes %s, so it answers without labels; %s",
                metadata.name, ", ".join(found), how)  # fmt: skip
    return ()


def _primary(metadata: ModelMetadata) -> TensorSpec:
    return next(spec for spec in metadata.outputs if spec.name == metadata.primary_output)


def _can_name(count: int, output: TensorSpec) -> bool:
    """Whether an output can select one of `count` names: by its scores, by an index, or because it is a text."""
    if output.datatype == "BYTES" or _is_place(output):
        return output.shape[1:] in ((), (1,))
    if len(output.shape) == 2 and output.shape[1] in (-1, count):
        return True
    return count == 2 and _is_one_score(output)


def _is_place(output: TensorSpec) -> bool:
    """Whether an output has one integer for each row, such as the output of an ArgMax."""
    return is_label(DTYPES[output.datatype].kind, output.shape) and output.datatype != "BYTES"


def numbers(count: int) -> tuple[str, ...]:
    """The names of unnamed classes: their indices."""
    return tuple(map(str, range(count)))


def _is_one_score(output: TensorSpec) -> bool:
    return output.datatype.startswith("FP") and len(output.shape) in (1, 2) and output.shape[1:] in ((), (1,))


def _what(output: TensorSpec) -> str:
    shape = output.shape
    if len(shape) != 2:
        return f"the shape {list(shape)} and so no score for each label"
    return f"{shape[1]} scores a row" if shape[1] != 1 else "1 score a row"


def _needless(output: TensorSpec, found: tuple[str, ...]) -> SettingsError:
    way = "leave --threshold out" if found else "name them with --labels"
    return SettingsError(f"a threshold is for one score with two labels, but the model's {output.name!r} has "
                         f"{_what(output)} and {len(found) or 'no'} labels; {way}")  # fmt: skip


def _contradiction(labels: tuple[str, ...], said: tuple[str, ...], own: tuple[str, ...]) -> Exception:
    names = f"{', '.join(said)}, but the model's own classes are {', '.join(own)}, in this order"
    if labels:
        return SettingsError(f"the labels are {names}; leave --labels out")
    return ModelFileError(f"the labels in its metadata are {names}; correct them, or leave them out")
