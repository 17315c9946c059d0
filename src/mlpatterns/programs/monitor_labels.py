"""Compares predictions with true labels that arrive later."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from mlpatterns.stores.log import Feedback, LogQuery, LogStore, Record

__all__ = ["Labels"]

PREFERRED = ("probabilities", "label")


class Labels(Struct, frozen=True):
    """How feedback is compared with predictions of one row.

    Attributes:
        name: the name of the feedback that contains a true label: the name or the number of the class.
        answer: the output with the scores of the classes, or with the number or name of one; by default
            ``probabilities``, else ``label``, else the first.
    """

    name: str = "label"
    answer: str | None = None

    async def labelled(self, feedback: Feedback, log: LogStore, path: str) -> Record | None:
        """The record that the feedback is about; None if it is not a true label, or the record is deleted."""
        if feedback.name != self.name:
            return None
        query = LogQuery(prediction_id=feedback.prediction_id, path=path, purpose="request", role="primary", limit=1)
        found = (await log.read(query)).records
        return found[0] if found and found[0].status == "done" else None

    def right(self, feedback: Feedback, record: Record, classes: Sequence[str]) -> bool | None:
        """Whether the prediction was right; None if this is unknown: several rows, outputs that were not kept, or a
        name without known class names.
        """
        outputs = record.outputs or {}
        name = self.answer or next((name for name in PREFERRED if name in outputs), next(iter(outputs), ""))
        predicted = _class_of(outputs.get(name))
        if predicted is None:
            return None
        told = feedback.value
        if isinstance(told, str) and isinstance(predicted, int):
            return classes[predicted] == told if predicted < len(classes) else None
        return bool(predicted == told) if isinstance(predicted, str) == isinstance(told, str) else None


def _class_of(value: Any) -> int | str | None:
    """The class in an output of one row: that with the highest score, or the only value."""
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    if isinstance(value, list) and value and all(isinstance(score, int | float) for score in value):
        return max(range(len(value)), key=value.__getitem__)
    return None
