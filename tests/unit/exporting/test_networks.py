"""export of torch's modules: inputs by argument, a free batch, and what a traced graph cannot hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from extras import need
from mlpatterns import UserError, export
from unit.exporting.written import asked, inside, opened

need("torch", "torch")

import torch  # noqa: E402
from torch import nn  # noqa: E402

ROWS = np.random.default_rng(0).normal(size=(5, 4))


class Two(nn.Module):  # type: ignore[misc]
    def forward(self, left: Any, right: Any) -> dict[str, Any]:
        return {"sum": left + right, "first": left.argmax(1)}


class Larger(nn.Module):  # type: ignore[misc]
    def forward(self, rows: Any) -> Any:
        return rows * 2 if rows.shape[0] > 1 else rows


class Positive(nn.Module):  # type: ignore[misc]
    def forward(self, rows: Any) -> Any:
        return rows * 2 if rows[0, 0] > 0 else rows


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.onnx"


def test_a_network_answers_as_in_eval_mode_for_any_number_of_rows(path: Path) -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 3))
    model(torch.tensor(ROWS, dtype=torch.float32))
    export(model, path, ROWS, labels=["a", "b", "c"], columns=["w", "x", "y", "z"])
    assert model.training
    record = inside(path)
    assert (record["inputs"][0]["datatype"], record["inputs"][0]["fields"]) == ("FP32", ["w", "x", "y", "z"])
    assert (record["primary_output"], record["labels"]) == ("output", ["a", "b", "c"])
    expected = model.eval()(torch.tensor(ROWS[:2], dtype=torch.float32)).detach().numpy()
    np.testing.assert_allclose(asked(path, input=ROWS[:2])["output"], expected, atol=1e-5)


@pytest.mark.parametrize(
    "sample",
    [(ROWS, ROWS), {"right": ROWS, "left": torch.tensor(ROWS)}],
    ids=["tuple", "dict"],
)
def test_several_inputs_are_named_as_the_arguments_of_forward(path: Path, sample: Any) -> None:
    export(Two(), path, sample)
    assert [value.name for value in opened(path).get_inputs()] == ["left", "right"]
    got = asked(path, left=ROWS, right=ROWS)
    np.testing.assert_allclose(got["sum"], 2 * ROWS, atol=1e-5)
    assert got["first"].tolist() == ROWS.argmax(axis=1).tolist()


def test_images_and_ids_are_inputs_too(path: Path) -> None:
    export(nn.Conv2d(3, 2, 3), path, torch.rand(2, 3, 8, 8))
    assert inside(path)["inputs"][0]["shape"] == [-1, 3, 8, 8]
    export(nn.Embedding(10, 4), path, [[1, 2, 3]])
    assert inside(path)["inputs"][0]["datatype"] == "INT64"


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_a_scripted_module_is_one_too(path: Path) -> None:
    export(torch.jit.script(nn.Linear(4, 2)), path, ROWS)
    assert asked(path, input=ROWS[:1])["output"].shape == (1, 2)


def test_one_score_for_two_labels_needs_a_threshold(path: Path) -> None:
    model = nn.Sequential(nn.Linear(4, 1), nn.Sigmoid())
    with pytest.raises(UserError, match="needs two labels and threshold="):
        export(model, path, ROWS, labels=["no", "yes"])
    export(model, path, ROWS, labels=["no", "yes"], threshold=0.5)
    assert inside(path)["threshold"] == 0.5


@pytest.mark.parametrize(
    ("model", "sentence"),
    [(Larger(), "for another number of rows: .* differs"), (Positive(), r"other values .*branch on them\?.* differs")],
)
def test_a_branch_that_the_trace_lost_is_found(path: Path, model: Any, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        export(model, path, np.abs(ROWS))
    assert not path.exists()


@pytest.mark.parametrize(
    ("model", "sample", "sentence"),
    [
        (nn.Linear(3, 2), ROWS, "the Linear does not accept the sample: mat1 and mat2"),
        (nn.Flatten(0), ROWS, r"'output' has the shape \[20\], not one row for each of 5"),
        (Two(), {"other": ROWS}, "forward has no argument 'other'; it takes left, right"),
        (Two(), (ROWS, ROWS, ROWS), "the sample has 3 tensors, but forward takes left, right"),
        (nn.Linear(4, 2), [["a"] * 4], "takes numbers"),
        (nn.LSTM(4, 2, batch_first=True), ROWS[None], "is a tuple; let forward answer with tensors alone"),
    ],
)
def test_what_cannot_be_exported_says_why(path: Path, model: Any, sample: Any, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        export(model, path, sample)
