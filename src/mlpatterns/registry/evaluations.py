"""Decides whether a version is far worse than another, by the evaluations that their experiments recorded."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from mlpatterns.analysis.proportions import pooled_z

__all__ = ["VersionEvaluation", "far_below"]

ERRORS = 3.0  # standard errors; by chance alone, about one training in 700 is that much worse
LEAST = 0.02  # with many test rows, even a negligible difference is many standard errors
UNKNOWN_ROWS = 100  # assumed if the number of test rows is not recorded
# Metrics between 0 and 1 for which higher is better. The first metric that both versions have is compared.
SHARES = ("accuracy", "accuracy_score", "balanced_accuracy", "f1", "f1_score", "recall", "precision", "roc_auc", "auc")
_ROWS = re.compile(r"\s*([1-9][0-9]{0,11})\s+(?:rows|images)\b")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}\b")


class VersionEvaluation(Struct, frozen=True):
    """The evaluation of a version, as its experiment recorded it.

    Attributes:
        number: the number of the version.
        evaluations: metrics by name.
        test_dataset: a description of the data on which they were measured, such as ``45 rows of iris sha256:…``.
    """

    number: int
    evaluations: Mapping[str, Any]
    test_dataset: str | None = None

    @property
    def rows(self) -> int:
        found = _ROWS.match(self.test_dataset or "")
        return int(found[1]) if found else UNKNOWN_ROWS


def far_below(new: VersionEvaluation, before: VersionEvaluation, *, name: str, alias: str) -> str:
    """A sentence if `new` is far worse than `before`, the version that `alias` names; otherwise an empty string.

    A version is far worse if the difference is more than `ERRORS` standard errors (`pooled_z`) and more than `LEAST`.
    Losses are not compared, because their scale is not known.
    """
    metric = next(_shared(new.evaluations, before.evaluations), None)
    if metric is None:
        return ""
    worse, better = float(new.evaluations[metric]), float(before.evaluations[metric])
    if better - worse <= LEAST or pooled_z(better, before.rows, worse, new.rows) <= ERRORS:
        return ""
    elsewhere = "" if _data(new) == _data(before) else ", which was measured on other data"
    words = metric.replace("_", " ")
    return f"{words} {worse:.2f} is far below the {alias}'s {better:.2f} ({name}:{before.number}){elsewhere}"


def _shared(new: Mapping[str, Any], before: Mapping[str, Any]) -> Iterator[str]:
    """The metrics that both versions have, in the order of `SHARES`. Exact names come before names that end in one."""
    both = [key for key in new if _is_share(new[key]) and _is_share(before.get(key))]
    for share in SHARES:
        yield from (key for key in both if key == share)
    for share in SHARES:
        yield from (key for key in sorted(both) if key.endswith(f"_{share}"))


def _is_share(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def _data(measured: VersionEvaluation) -> str:
    """The identity of the data: its digest, or else its description without the number of rows."""
    words = measured.test_dataset or ""
    digest = _DIGEST.search(words)
    return digest[0] if digest else _ROWS.sub("", words).strip()
