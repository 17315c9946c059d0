"""Whether a label that comes later is what was predicted."""

from __future__ import annotations

from typing import Any

import pytest

from mlpatterns.programs.monitor_labels import Labels
from mlpatterns.stores.log import Feedback, Record


@pytest.mark.parametrize(
    ("outputs", "told", "right"),
    [
        ({"probabilities": [[0.1, 0.7, 0.2]]}, "versicolor", True),
        ({"probabilities": [[0.1, 0.7, 0.2]]}, "setosa", False),
        ({"probabilities": [[0.1, 0.7, 0.2]]}, 1, True),
        ({"label": [2], "probabilities": [[0.9, 0.1, 0.0]]}, 0, True),
        ({"label": [2]}, 2, True),
        ({"label": ["setosa"]}, "setosa", True),
        ({"species": [[0.1, 0.9]]}, 0, False),
        ({"probabilities": [[0.1, 0.7], [0.5, 0.5]]}, 1, None),
        ({"label": ["setosa"]}, 0, None),
        ({"probabilities": [[0.0, 0.0, 0.0, 1.0]]}, "setosa", None),
        ({"probabilities": {"bytes": 3}}, 0, None),
        ({"outlier": [True]}, 1, None),
        ({}, 1, None),
        (None, 1, None),
    ],
)
def test_a_label_is_held_against_the_class_that_was_predicted(outputs: Any, told: Any, right: bool | None) -> None:
    record = Record("id", 0.0, "p", "done", 0.1, "m", "1", outputs=outputs)
    names = ["setosa", "versicolor", "virginica"]
    assert Labels().right(Feedback("id", "label", told, 1.0), record, names) is right


def test_the_output_may_be_named() -> None:
    record = Record(
        "id", 0.0, "p", "done", 0.1, "m", "1", outputs={"probabilities": [[0.9, 0.1]], "other": [[0.1, 0.9]]}
    )
    assert Labels(answer="other").right(Feedback("id", "label", 1, 1.0), record, []) is True
