"""When a version counts as far worse than another."""

from __future__ import annotations

from typing import Any

import pytest

from mlpatterns.registry.evaluations import VersionEvaluation, far_below

DATA = f"of iris sha256:{'a' * 64}"


def said(new: dict[str, Any], before: dict[str, Any], rows: int = 45, other: str = DATA) -> str:
    return far_below(
        VersionEvaluation(2, new, f"{rows} rows {DATA}"),
        VersionEvaluation(1, before, f"{rows} rows {other}"),
        name="iris",
        alias="champion",
    )


def test_far_below_is_a_sentence_with_both_figures() -> None:
    sentence = "accuracy 0.71 is far below the champion's 0.96 (iris:1)"
    assert said({"accuracy": 0.71}, {"accuracy": 0.96}) == sentence


@pytest.mark.parametrize(
    ("new", "before", "rows", "far"),
    [
        (0.89, 0.96, 45, False),  # chance does that with 45 rows
        (0.89, 0.96, 10_000, True),
        (0.945, 0.96, 1_000_000, False),  # sure, and small
        (0.96, 0.71, 45, False),  # better
        (0.0, 1.0, 1, False),  # one row says nothing
        (0.0, 1.0, 45, True),
    ],
)
def test_how_far_is_far_depends_on_the_rows(new: float, before: float, rows: int, far: bool) -> None:
    assert bool(said({"accuracy": new}, {"accuracy": before}, rows)) is far


def test_where_nobody_said_how_many_rows_a_hundred_are_assumed() -> None:
    for worse, far in ((0.9, False), (0.7, True)):
        new, old = VersionEvaluation(2, {"accuracy": worse}), VersionEvaluation(1, {"accuracy": 0.96})
        assert bool(far_below(new, old, name="iris", alias="champion")) is far


def test_other_data_are_told() -> None:
    other = f"of roses sha256:{'b' * 64}"
    assert said({"accuracy": 0.1}, {"accuracy": 0.9}, other=other).endswith(", which was measured on other data")


@pytest.mark.parametrize(
    ("new", "before"),
    [
        ({}, {"accuracy": 0.96}),
        ({"accuracy": 0.1}, {}),
        ({"accuracy": 0.1}, {"f1": 0.9}),
        ({"loss": 0.1}, {"loss": 0.9}),  # less is better there
        ({"accuracy": "0.1"}, {"accuracy": 0.9}),
        ({"accuracy": None}, {"accuracy": 0.9}),
        ({"accuracy": 12.0}, {"accuracy": 90.0}),  # no share
        ({"accuracy": False}, {"accuracy": True}),
    ],
)
def test_what_cannot_be_compared_is_not(new: dict[str, Any], before: dict[str, Any]) -> None:
    assert said(new, before, 1000) == ""


def test_the_figure_that_says_most_decides() -> None:
    assert said({"f1": 0.1, "accuracy": 0.9}, {"f1": 0.9, "accuracy": 0.9}, 1000) == ""
    named = said({"served_accuracy": 0.1, "f1": 0.1}, {"served_accuracy": 0.9, "f1": 0.9}, 1000)
    assert named.startswith("f1 0.10 is far below")
    assert said({"test_accuracy": 0.1}, {"test_accuracy": 0.9}).startswith("test accuracy 0.10 is far below")
