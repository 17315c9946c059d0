"""What servers know of trainings, without importing them."""

from __future__ import annotations

from mlpatterns.registry.unknown import TRAINED, maker
from mlpatterns.training import MODELS, PIPELINES


def test_the_models_that_are_said_to_be_trained_are_those_that_trainings_make() -> None:
    assert set(TRAINED) == {*MODELS, *PIPELINES}


def test_a_model_that_no_training_makes_is_imported() -> None:
    assert maker("iris_binary_setosa") == "`mlpatterns train iris_binary_setosa`"
    assert maker("iris_binary") == "`mlpatterns registry import FILE.onnx --name iris_binary`"
