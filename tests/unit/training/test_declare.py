"""Options and models of a training: what a user may write, and the sentence for what they may not."""

from __future__ import annotations

from typing import Any

import pytest

from mlpatterns.training.declare import Options, read_options
from mlpatterns.training.iris import BINARY, SVC, BinaryOptions
from mlpatterns.user_errors import UnknownName, UserError


def test_the_defaults_are_a_third_and_seed_zero() -> None:
    assert read_options(SVC, {}) == Options(test_size=0.3, seed=0)


def test_numbers_may_be_text() -> None:
    assert read_options(SVC, {"test_size": "0.25", "seed": "7"}) == Options(0.25, 7)


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
        ({"sede": 1}, "there is no option 'sede'; did you mean 'seed'? iris_sklearn_svc takes test_size, seed"),
        ({"target_iris": "setosa"}, "there is no option 'target_iris'"),
    ],
)
def test_a_bad_option_is_named_in_one_sentence(values: dict[str, Any], text: str) -> None:
    with pytest.raises(UserError) as caught:
        read_options(SVC, values)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_training_may_have_options_of_its_own() -> None:
    assert read_options(BINARY, {"target_iris": "virginica", "seed": "3"}) == BinaryOptions(0.3, 3, "virginica")


@pytest.mark.parametrize(
    ("target", "text"),
    [("rose", "there is no target_iris 'rose'; there is setosa, versicolor, virginica"),
     ("versi", "there is no target_iris 'versi'; did you mean 'versicolor'? There is setosa, versicolor, virginica")],
)  # fmt: skip
def test_a_choice_that_there_is_not_is_told_with_those_there_are(target: str, text: str) -> None:
    with pytest.raises(UnknownName) as caught:
        read_options(BINARY, {"target_iris": target})
    assert str(caught.value) == text


def test_each_choice_makes_a_model_of_its_own() -> None:
    assert SVC.models == {"iris_sklearn_svc": {}}
    assert list(BINARY.models) == ["iris_binary_setosa", "iris_binary_versicolor", "iris_binary_virginica"]
    for name, options in BINARY.models.items():
        assert BINARY.model_name(read_options(BINARY, options)) == name
