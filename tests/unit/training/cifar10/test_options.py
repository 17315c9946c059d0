"""Options of cifar10: sane without any, one sentence for one that cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlpatterns.training import run, run_step
from mlpatterns.training.cifar10.options import ImageOptions
from mlpatterns.user_errors import UserError


def test_the_width_is_the_model_type_s_own_unless_it_is_set() -> None:
    assert ImageOptions(model_type="vgg16").channels == 64
    assert ImageOptions(model_type="vgg16", width=8).channels == 8


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"epochs": 0}, "epochs must be between 1 and 100000, not 0"),
        ({"batch_size": 1}, "batch_size must be between 2 and 65536, not 1"),
        ({"learning_rate": 0}, "learning_rate must be greater than 0, not 0"),
        ({"learning_rate": "nan"}, "learning_rate must be greater than 0, not nan"),
        ({"num_workers": -1}, "num_workers must be between 0 and 64, not -1"),
        (
            {"model_type": "vgg13"},
            "there is no model_type 'vgg13'; did you mean 'vgg16'? There is resnet, simple, vgg11, vgg16",
        ),
        ({"epochs": "many"}, "epochs: expected `int`, got `str`"),
        ({"synthetic": True, "data": "x"}, "--synthetic draws its own images; leave out --data and --dataset"),
        ({"test_size": 0.3}, "there is no option 'test_size'"),
        ({"seed": -1}, "seed must be between 0 and 2147483647, not -1"),
    ],
)
def test_a_bad_option_is_named_in_one_sentence(values: dict[str, Any], text: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        run("cifar10", home=tmp_path, options=values)
    assert text in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_step_or_pipeline_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no step 'bild'; did you mean 'build'"):
        run_step("cifar10", "bild", home=tmp_path)
    with pytest.raises(UserError, match="there is no pipeline 'iris_sklearn_svc'"):
        run_step("iris_sklearn_svc", "train", home=tmp_path)
