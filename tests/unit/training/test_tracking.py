"""Tracking without a server; tests/integration/test_mlflow.py has a real one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mlpatterns.training import run
from mlpatterns.training.tracking import _figures
from mlpatterns.user_errors import MissingExtra


def test_without_a_uri_nothing_is_tracked_and_mlflow_not_imported() -> None:
    code = """
import sys
from mlpatterns.training.tracking import tracked
with tracked(None, "any"):
    print("mlflow" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_without_its_client_the_extra_is_named_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(MissingExtra, match=r"tracking with MLflow needs an extra: pip install 'mlpatterns\[mlflow\]'"):
        run("iris_sklearn_svc", home=tmp_path, mlflow="http://127.0.0.1:9")
    assert list(tmp_path.iterdir()) == []


def test_every_number_has_a_name_and_those_of_an_epoch_their_step() -> None:
    metrics = {
        "accuracy": 0.5,
        "confusion": [[1, 0], [0, 1]],
        "each": {"setosa": 1},
        "epochs": [{"epoch": 1, "loss": 2.0}, {"epoch": 2, "loss": 1.0}],
    }
    assert list(_figures(metrics)) == [
        ("accuracy", 0.5, 0),
        ("each.setosa", 1.0, 0),
        ("epoch.loss", 2.0, 1),
        ("epoch.loss", 1.0, 2),
    ]
