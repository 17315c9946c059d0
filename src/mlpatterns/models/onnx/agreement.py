"""Checks whether a classifier's scores agree with its own label output. If they do not, only the label is correct.

The converter of a two-class SVC without probabilities writes its scores in the wrong order. If there is one score for
two classes, the graph does not contain the threshold. To find both, the model is run on random rows around the sample,
drawn with a fixed seed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from mlpatterns.metadata import Array, ModelMetadata
from mlpatterns.models.onnx.trial import SessionTrial
from mlpatterns.onnx_format.classes import Classes

__all__ = ["OwnAnswers", "own_answers"]

SPREADS = (0.1, 1.0, 10.0, 100.0)  # standard deviations of the rows around the sample, whose units are unknown
ROWS = 64
MOST_ELEMENTS = 1024 * 1024
LABEL_KINDS = "Oiu"


class OwnAnswers(Struct, frozen=True):
    """The answers of a classifier to some rows.

    Attributes:
        output: the name of its label output.
        labels: the label of each row, as text.
        scores: the scores of each row, [rows, classes], or [rows] if there is one score for each row.
        classes: the names of the labels, in the order of the scores.
    """

    output: str
    labels: tuple[str, ...]
    scores: Array
    classes: tuple[str, ...]

    @property
    def agree(self) -> bool:
        """Whether the label has the highest score in at least half of the rows. (A few rows may differ, because of a
        tie or a vote that does not use the scores.)"""
        if self.scores.ndim != 2 or self.scores.shape[1] != len(self.classes):
            return True
        best = [self.classes[place] for place in self.scores.argmax(axis=1).tolist()]
        return bool(sum(a == b for a, b in zip(best, self.labels, strict=True)) * 2 >= len(best))

    @property
    def lowest(self) -> bool:
        """Whether the label has the lowest score in each row, as when the scores are distances."""
        if self.scores.ndim != 2 or self.scores.shape[1] != len(self.classes) or len({*self.labels}) < 2:
            return False
        return [self.classes[place] for place in self.scores.argmin(axis=1).tolist()] == list(self.labels)

    @property
    def threshold(self) -> float | None:
        """The threshold of one score for two classes: above it, the label is the second class. It is 0.5 if all scores
        are between 0 and 1, else 0. It is None if the labels do not agree with it, or are not of both classes."""
        scores = self.scores.reshape(len(self.labels), -1)
        if scores.shape[1] != 1 or len(self.classes) != 2 or len({*self.labels}) != 2:
            return None
        limit = 0.5 if scores.min() >= 0 and scores.max() <= 1 else 0.0
        said = [self.classes[int(above)] for above in (scores[:, 0] > limit).tolist()]
        return limit if said == list(self.labels) else None


def own_answers(trial: SessionTrial, metadata: ModelMetadata, classes: Classes) -> OwnAnswers | None:
    """The answers of the model to rows around its sample; None if it has no sample, or no label output beside its
    scores."""
    if metadata.sample is None:
        return None
    outputs = trial.run(_rows(metadata), bounded=True) or trial.run(metadata.sample, bounded=True) or {}
    scores = outputs.get(metadata.primary_output)
    if scores is None or scores.ndim == 0 or scores.dtype.kind != "f":
        return None
    for name, value in outputs.items():
        labels = _labels(value) if name != metadata.primary_output and value.size == len(scores) else ()
        if labels and {*labels} <= {*classes.names}:
            known = np.isfinite(scores).reshape(len(scores), -1).all(axis=1)
            kept = tuple(labels[place] for place in np.flatnonzero(known).tolist())
            return OwnAnswers(name, kept, scores[known], classes.names) if kept else None
    return None


def _rows(metadata: ModelMetadata) -> dict[str, Array]:
    """Random rows around the sample. Only float inputs with a variable first axis are changed."""
    random, rows = np.random.default_rng(0), {}
    free = {spec.name for spec in metadata.inputs if spec.shape[:1] == (-1,)}
    for name, value in (metadata.sample or {}).items():
        if name in free and value.size * ROWS <= MOST_ELEMENTS:
            value = np.repeat(value[:1], ROWS, axis=0)
            if value.dtype.kind == "f":
                spread = np.resize(SPREADS, ROWS).reshape(-1, *(1,) * (value.ndim - 1))
                value = (value + random.normal(size=value.shape) * spread).astype(value.dtype)
        rows[name] = value
    return rows


def _labels(value: Array) -> Sequence[str]:
    if value.dtype.kind not in LABEL_KINDS:
        return ()
    return [text.decode(errors="replace") if isinstance(text, bytes) else str(text) for text in value.ravel().tolist()]
