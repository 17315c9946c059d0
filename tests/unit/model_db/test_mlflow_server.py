"""What a server of MLflow says is told in one sentence."""

from __future__ import annotations

from mlpatterns.model_db.mlflow_server import why


def test_the_first_sentence_of_the_first_cause_is_told() -> None:
    error = RuntimeError("outside")
    error.__cause__ = ValueError("The store (e.g., './runs') is no\n more kept up. Please move. See the docs.")
    assert why(error) == "The store (e.g., './runs') is no more kept up"


def test_addresses_and_versions_are_not_cut() -> None:
    assert why(OSError("no route to 10.0.0.1 v2.19")) == "no route to 10.0.0.1 v2.19"
