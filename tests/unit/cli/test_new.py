"""`new`: every way of asking for what cannot be is one sentence, and makes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

import odd_models
from unit.cli.conftest import Command


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("shop",), 2, "missing option '--pattern'"),
        (("shop", "--pattern", "web_singel"), 2, "there is no pattern 'web_singel'; did you mean 'web_single'?"),
        (("shop", "--pattern", "edge_ai"), 2, "edge_ai does not compose pieces"),
        (("shop", "--pattern", "iris_sklearn_svc"), 2,
         "iris_sklearn_svc is a training and serves nothing; `--pattern web_single` serves its model"),
        (("shop", "--pattern", "iris_sklearn_rf"), 2, "`--pattern web_single --model iris_sklearn_rf` serves its"),
        (("full", "--pattern", "web_single"), 2, "full is not empty, and nothing is overwritten; name a new folder"),
        (("花", "--pattern", "web_single"), 2, "use letters of ASCII, digits and dashes"),
        (("numpy", "--pattern", "web_single"), 2, "numpy is a package that the project needs"),
        (("no/where", "--pattern", "web_single"), 2, "make it first"),
        (("shop", "--pattern", "web_single", "--model", "absent.onnx"), 2, "there is no model file absent.onnx"),
        (("shop", "--pattern", "web_single", "--model", "bad.onnx"), 1, "not a model that ONNX Runtime can load"),
        (("shop", "--pattern", "web_single", "--model", "a/b"), 2, "'a/b' is not a model reference"),
        (("shop", "--pattern", "web_single", "--labels", "full/file"), 2, "give --model too"),
        (("shop", "--pattern", "web_single", "--model", "good.onnx", "--labels", "absent.txt"), 2,
         "the labels absent.txt cannot be read"),
        (("shop", "--pattern", "web_single", "--model", "good.onnx", "--labels", "full/file"), 2,
         "the number of labels is 1, but the model's 'scores' has 2 scores a row"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_sentence(
    mlpatterns: Command, home: Path, tmp_path: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("one label")
    (tmp_path / "bad.onnx").write_text("no model")
    odd_models.texts(tmp_path / "good.onnx")
    before = sorted(tmp_path.rglob("*"))
    done = mlpatterns("new", *arguments)
    assert (done.code, done.out) == (code, "")
    assert done.err.startswith("mlpatterns: ")
    assert said in done.err
    assert done.err.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before  # nothing was made, nor trained


@pytest.mark.parametrize("pattern", ["web_single", "web_single_pattern", "Webシングルパターン"])
def test_a_pattern_is_known_by_all_its_names(mlpatterns: Command, tmp_path: Path, pattern: str) -> None:
    odd_models.integers(tmp_path / "sums.onnx")
    done = mlpatterns("new", "my shop", "--pattern", pattern, "--model", "sums.onnx")
    assert done.code == 0, done.err
    assert done.out.startswith("my shop: the project my-shop, made from web_single\n  sums ")
    assert "\nnext: make -C 'my shop' test" in done.out
    assert (tmp_path / "my shop" / "models" / "sums.onnx").is_file()


def test_of_another_library_s_file_the_lines_are_told_that_export_it(mlpatterns: Command) -> None:
    done = mlpatterns("new", "shop", "--pattern", "web_single", "--model", "m.pkl")
    assert (done.code, done.out) == (2, "")
    assert 'mlpatterns.export(model, "m.onnx", sample)' in done.err
