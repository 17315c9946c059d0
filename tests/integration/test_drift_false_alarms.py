"""A tenth of the simulation in benchmarks/drift_false_alarms.py: fresh profiles, fresh windows, no drift."""

from __future__ import annotations

import os

import numpy as np
import pytest
from benchmarks.drift_false_alarms import ALPHA, CASES, Case, most_by_chance, quiet_windows

from mlpatterns.analysis import psi

REPLICATES = 200 * int(os.environ.get("MLPATTERNS_CHAOS", "1"))
SMALL, MIXED = CASES[0], CASES[6]


@pytest.mark.slow  # hundreds of windows, each with tests by Monte Carlo
@pytest.mark.parametrize(
    ("case", "replicates"), [(SMALL, REPLICATES), (MIXED, REPLICATES // 2)], ids=["numbers", "numbers and categories"]
)
def test_windows_without_drift_are_called_one_no_more_often_than_alpha_says(case: Case, replicates: int) -> None:
    significant, drifted = quiet_windows(case, replicates, seed=7)
    assert drifted <= significant <= most_by_chance(replicates, ALPHA)


def test_the_simulation_finds_a_test_that_alarms_too_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """The index with the usual floor of 1e-4 for empty bins, by chi-square, where bins expect five rows."""

    def floored(reference: np.ndarray, window: np.ndarray) -> np.ndarray:
        p, q = (np.maximum(counts / counts.sum(), 1e-4) for counts in (reference, window))
        return np.asarray(((q - p) * np.log(q / p)).sum(-1))

    monkeypatch.setattr(psi, "psi", floored)
    monkeypatch.setattr(psi, "expects_enough", lambda reference, window: True)
    significant, _ = quiet_windows(SMALL, 100, seed=7)
    assert significant > 2 * most_by_chance(100, ALPHA)
