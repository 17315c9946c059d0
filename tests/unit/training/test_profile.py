"""The data profile: figures of each column, and what cannot be profiled."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from mlpatterns.errors import UserError
from mlpatterns.training.profile import DataProfile, profile


def test_a_column_has_the_figures_worked_out_by_hand() -> None:
    field = profile(np.arange(11, dtype=np.float32).reshape(-1, 1), ["length"]).fields[0]
    assert (field.name, field.count, field.mean, field.min, field.max) == ("length", 11, 5.0, 0.0, 10.0)
    assert field.std == pytest.approx(11**0.5)
    assert field.quantiles["0.5"] == 5.0
    assert field.quantiles["0.9"] == 9.0
    assert field.edges == tuple(float(edge) for edge in range(11))
    assert field.counts == (1,) * 9 + (2,)


def test_classes_are_counted_by_name() -> None:
    made = profile(np.zeros((3, 1)), ["x"], np.array([0, 1, 1]), ["no", "yes", "never"])
    assert made.classes == {"no": 1, "yes": 2, "never": 0}


def test_a_constant_column_and_a_single_row_have_a_profile() -> None:
    field = profile(np.full((1, 1), 3.0), ["x"]).fields[0]
    assert (field.std, sum(field.counts)) == (0.0, 1)


def test_large_float32_columns_do_not_lose_digits() -> None:
    x = np.full((10_000, 1), 16_777_217, dtype=np.float64).astype(np.float32)
    assert profile(x, ["x"]).fields[0].mean == float(x[0, 0])


def test_a_profile_survives_json() -> None:
    made = profile(np.random.default_rng(0).normal(size=(20, 2)), ["a", "b"])
    assert msgspec.json.decode(msgspec.json.encode(made), type=DataProfile) == made


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (np.zeros((0, 1)), "not an array of shape"),
        (np.zeros((2, 2)), "rows of 1 columns"),
        (np.zeros(3), "not an array of shape"),
        (np.array([[np.nan]]), "finite numbers"),
        (np.array([[np.inf]]), "finite numbers"),
    ],
)
def test_what_cannot_be_profiled_is_refused(x: np.ndarray, text: str) -> None:
    with pytest.raises(UserError, match=text):
        profile(x, ["x"])
