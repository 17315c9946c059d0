"""Options: what a user may write, and the sentence for what they may not."""

from __future__ import annotations

from typing import Any

import pytest

from mlpatterns.errors import UserError
from mlpatterns.training.declare import Options, read_options


def test_the_defaults_are_a_third_and_seed_zero() -> None:
    assert read_options({}) == Options(test_size=0.3, seed=0)


def test_numbers_may_be_text() -> None:
    assert read_options({"test_size": "0.25", "seed": "7"}) == Options(0.25, 7)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"test_size": 0}, "test_size must lie between 0 and 1, not 0"),
        ({"test_size": 1.5}, "test_size must lie between 0 and 1, not 1.5"),
        ({"test_size": float("nan")}, "test_size must lie between 0 and 1, not nan"),
        ({"seed": -1}, "seed must be between 0 and 4294967295, not -1"),
        ({"seed": 2**32}, "seed must be between 0 and 4294967295"),
        ({"seed": "many"}, "seed: expected `int`, got `str`"),
        ({"seed": 1.5}, "seed: expected `int`, got `float`"),
        ({"sede": 1}, "there is no option 'sede'; did you mean 'seed'?"),
    ],
)
def test_a_bad_option_is_named_in_one_sentence(values: dict[str, Any], text: str) -> None:
    with pytest.raises(UserError) as caught:
        read_options(values)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)
