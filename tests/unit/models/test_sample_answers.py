"""What a model answers to its own sample, and the golden set that comes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlpatterns.models.onnx.onnx import OnnxModel
from mlpatterns.models.sample.answers import check_sample, golden_of
from mlpatterns.references import FileReference
from mlpatterns.registry.golden import agree
from mlpatterns.runtime import running
from mlpatterns.settings import Settings
from mlpatterns.user_errors import ModelFileError
from odd_models import ODD, Make
from row_models import length, noise, weighted


def ask(path: Path, question: Callable[[OnnxModel], Awaitable[Any]]) -> Any:
    async def asked() -> Any:
        model = OnnxModel(FileReference(path))
        async with running(model, settings=Settings(home=path.parent / "home")):
            return await question(model)

    return asyncio.run(asked())


def test_a_model_without_an_answer_to_zeros_is_asked_with_ones(tmp_path: Path) -> None:
    sampled = ask(length(tmp_path / "m.onnx"), check_sample)
    np.testing.assert_allclose(sampled.outputs["y"], [[0.5**0.5] * 2])


@pytest.mark.parametrize(("weight", "what"), [(float("nan"), "NaN"), (float("inf"), "NaN")])
def test_what_is_not_finite_is_a_sentence(tmp_path: Path, weight: float, what: str) -> None:
    with pytest.raises(ModelFileError, match=f"its output 'scores' has {what} for its own sample"):
        ask(weighted(tmp_path / "m.onnx", weight=weight), check_sample)


def test_given_rows_are_asked_as_they_are(tmp_path: Path) -> None:
    rows = {"x": np.zeros((3, 2), np.float32)}
    with pytest.raises(ModelFileError, match="its output 'y' has NaN"):
        ask(length(tmp_path / "m.onnx"), lambda model: golden_of(model, rows))
    wrong = {"x": np.zeros((3, 9), np.float32)}
    with pytest.raises(ModelFileError, match="it does not answer its own sample"):
        ask(length(tmp_path / "m.onnx"), lambda model: golden_of(model, wrong))


def test_a_model_that_answers_otherwise_each_time_has_no_golden_set(tmp_path: Path) -> None:
    golden, why = ask(noise(tmp_path / "m.onnx"), lambda model: golden_of(model, None))
    assert (golden, why) == (None, "the model answers the same rows in another way each time")


def test_large_answers_may_differ_by_more(tmp_path: Path) -> None:
    rows = {"x": np.full((2, 3), 1e6, np.float32)}
    golden, _ = ask(weighted(tmp_path / "m.onnx"), lambda model: golden_of(model, rows))
    assert golden.tolerance == pytest.approx(600)


@pytest.mark.parametrize("make", ODD)
def test_every_odd_model_gets_a_golden_set_or_a_reason(make: Make, tmp_path: Path) -> None:
    make(tmp_path / "m.onnx")

    async def question(model: OnnxModel) -> None:
        golden, why = await golden_of(model, None)
        assert (golden is None) == bool(why)
        if golden is not None:
            shapes = {spec.name: len(spec.shape) for spec in model.metadata.outputs}
            assert set(golden.outputs) == set(shapes)
            for name, dimensions in shapes.items():
                assert np.ndim(golden.outputs[name]) == dimensions

    ask(tmp_path / "m.onnx", question)


def test_answers_agree_within_the_tolerance_and_in_shape() -> None:
    one = np.array([1.0, 2.0], np.float32)
    assert agree(one, one + 5e-5, 1e-4)
    assert not agree(one, one + 5e-3, 1e-4)
    assert not agree(one, one[:1], 1e-4)
    assert not agree(np.array([1, 2]), np.array([1, 3]), 1e9)
