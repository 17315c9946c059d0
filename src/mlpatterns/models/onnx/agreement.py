"""Whether a classifier's scores say what its own label says: where they do not, only the label is right.

The scores of a two-class SVC without probabilities come in the wrong order from its converter, and one score for two
classes has a threshold that no graph names. Both are seen by asking: some rows around the sample, drawn with a fixed
seed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from mlpatterns.metadata import Array, ModelMetadata
from mlpatterns.models.onnx.trial import SessionTrial
from mlpatterns.onnx_format.classes import Classes

__all__ = ["OwnAnswers", "own_answers"]

SPREADS = (0.1, 1.0, 10.0, 100.0)  # of the rows around the sample, in what units it may be
ROWS = 64
MOST_ELEMENTS = 1024 * 1024
LABEL_KINDS = "Oiu"


class OwnAnswers(Struct, frozen=True):
    """What a classifier answers to some rows.

    Attributes:
        output: its output of labels.
        labels: of each row, as text.
        scores: of each row, [rows, classes], or [rows] where there is one.
        classes: the names of the labels, in the order of the scores.
    """

    output: str
    labels: tuple[str, ...]
    scores: Array
    classes: tuple[str, ...]

    @property
    def agree(self) -> bool:
        """Whether the highest score is mostly that of the label. (A tie, or a vote that is not by the scores, may
        decide otherwise for a few.)"""
        if self.scores.ndim != 2 or self.scores.shape[1] != len(self.classes):
            return True
        best = [self.classes[place] for place in self.scores.argmax(axis=1).tolist()]
        return bool(sum(a == b for a, b in zip(best, self.labels, strict=True)) * 2 >= len(best))

    @property
    def lowest(self) -> bool:
        """Whether the label is that of the lowest score in each row, as where they are distances."""
        if self.scores.ndim != 2 or self.scores.shape[1] != len(self.classes) or len({*self.labels}) < 2:
            return False
        return [self.classes[place] for place in self.scores.argmin(axis=1).tolist()] == list(self.labels)

    @property
    def threshold(self) -> float | None:
        """Where there is one score for two classes: above which it is the second, 0.5 of probabilities and 0 of others;
        None if that is not what the labels say."""
        scores = self.scores.reshape(len(self.labels), -1)
        if scores.shape[1] != 1 or len(self.classes) != 2 or len({*self.labels}) != 2:
            return None
        limit = 0.5 if scores.min() >= 0 and scores.max() <= 1 else 0.0
        said = [self.classes[int(above)] for above in (scores[:, 0] > limit).tolist()]
        return limit if said == list(self.labels) else None


def own_answers(trial: SessionTrial, metadata: ModelMetadata, classes: Classes) -> OwnAnswers | None:
    """What the model answers to rows around its sample; None if it has no label beside its scores, or no sample."""
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
    """Rows around the sample, where its inputs are numbers with a free first axis."""
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
