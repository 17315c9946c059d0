"""What is said of a model by flags is kept: by a server, in a registry, in a project and in the context of an image."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from msgspec.structs import replace
from onnx import helper

from mlpatterns.cli.model_flags import from_anywhere
from mlpatterns.launch.target import load_target
from mlpatterns.metadata import ModelMetadata
from mlpatterns.references import RegisteredReference
from mlpatterns.registry.files import load_metadata
from mlpatterns.registry.locate import locate
from mlpatterns.runtime import roots_of, running
from mlpatterns.server.app import App
from mlpatterns.settings import load_settings
from onnx_graphs import THREE, classifier, floats, made
from unit.cli.conftest import Command

FLAGS = ("--labels", "no,yes", "--columns", "names.csv", "--missing", "fare", "--threshold", "0.25",
         "--sample", "rows.csv")  # fmt: skip


@pytest.fixture(autouse=True)
def files(tmp_path: Path) -> None:
    """A model of one score, and what is said of it."""
    weights = helper.make_tensor("w", 1, [2, 1], [1.0, 1.0])
    nodes = [helper.make_node("MatMul", ["x", "w"], ["s"]), helper.make_node("Sigmoid", ["s"], ["p"])]
    (tmp_path / "titanic.onnx").write_bytes(made(nodes, {"x": floats("n", 2)}, {"p": floats("n", 1)}, weights))
    (tmp_path / "names.csv").write_text("age,fare\r\n22,7.25\r\n", encoding="utf-8-sig")
    (tmp_path / "rows.csv").write_text("fare,age\n7.25,22\n")
    (tmp_path / "insects.onnx").write_bytes(classifier(THREE))


def check(found: ModelMetadata) -> None:
    (spec,) = found.inputs
    assert (spec.fields, spec.missing, spec.missing_fields) == (("age", "fare"), True, ("fare",))
    assert (found.labels, found.threshold) == (("no", "yes"), 0.25)
    assert found.sample is not None
    assert found.sample["x"].tolist() == [[22.0, 7.25]]


def served(target: str) -> ModelMetadata:
    app = load_target(target)
    assert isinstance(app, App)
    (root,) = roots_of(app.build())

    async def main() -> ModelMetadata:
        async with running(root, settings=load_settings().settings):
            return root.metadata

    return asyncio.run(main())


def test_an_empty_one_counts_as_not_given() -> None:
    """As an empty variable of the environment does; it must not be read as the current folder."""
    flags = {"labels": "", "columns": "", "sample": Path(), "model": ""}
    assert from_anywhere(flags) == {"labels": None, "columns": None, "sample": None, "model": ""}
    assert from_anywhere({"labels": "no,yes"}) == {"labels": "no,yes"}


@pytest.mark.parametrize("target", [("titanic.onnx",), ("web_single", "--model", "file:titanic.onnx")])
def test_a_server_answers_with_it(
    mlpatterns: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, target: tuple[str, ...]
) -> None:
    found: list[ModelMetadata] = []
    # Workers may read their files in another folder.
    monkeypatch.setattr("mlpatterns.launch.worker.run_worker", lambda *_, **__: found.append(served(target[0])))
    done = mlpatterns("run", *target, *FLAGS)
    assert (done.code, done.err) == (0, "")
    check(found[0])


def test_a_registered_model_has_it(mlpatterns: Command) -> None:
    done = mlpatterns("registry", "import", "titanic.onnx", *FLAGS)
    assert done.code == 0, done.err
    metadata = locate(RegisteredReference("titanic"), load_settings().settings).metadata
    assert metadata is not None
    check(metadata)


def test_a_classifier_with_zipmap_is_registered_as_it_is_and_served_with_its_classes(
    mlpatterns: Command, tmp_path: Path
) -> None:
    assert mlpatterns("registry", "import", "insects.onnx").code == 0
    located = locate(RegisteredReference("insects"), load_settings().settings)
    assert located.model.read_bytes() == (tmp_path / "insects.onnx").read_bytes()
    from mlpatterns.models.onnx.onnx import OnnxModel

    async def main() -> ModelMetadata:
        model = OnnxModel("insects")
        async with running(model, settings=load_settings().settings):
            return model.metadata

    found = asyncio.run(main())
    assert (found.labels, found.primary_output) == (tuple(THREE), "scores")
    refused = mlpatterns("registry", "import", "insects.onnx", "--labels", "bee,ant,cat")
    assert refused.code == 2
    assert "the labels are bee, ant, cat, but the model's own classes are ant, bee, cat, in this order" in refused.err


def test_a_project_has_it_beside_its_model(mlpatterns: Command, tmp_path: Path) -> None:
    done = mlpatterns("new", "shop", "--pattern", "web_single", "--model", "titanic.onnx", *FLAGS)
    assert done.code == 0, done.err
    path = tmp_path / "shop" / "models" / "titanic.metadata.json"
    check(load_metadata(path))
    from mlpatterns.models.onnx.onnx import OnnxModel

    async def main() -> ModelMetadata:
        model = OnnxModel(f"file:{path.with_name('titanic.onnx')}")
        async with running(model):
            return model.metadata

    check(replace(asyncio.run(main()), sample=load_metadata(path).sample))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("run", "titanic.onnx", "--columns", "a"),
            "the number of column names is 1, but the model's 'x' has 2 columns",
        ),
        (("run", "titanic.onnx", "--threshold", "nan"), "threshold"),
        (("run", "edge_ai", "--columns", "a,b"), "edge_ai"),
        (("new", "shop", "--pattern", "web_single", "--columns", "a,b"), "--columns describes a model of yours"),
        (("new", "shop", "--pattern", "web_single", "--missing", "all"), "--missing describes a model of yours"),
        (("image", "build", "app.py", "--columns", "a,b"), "app.py describes its models itself: write --columns"),
        (("registry", "import", "titanic.onnx", "--labels", "no,yes"), "has one score for the labels no, yes"),
    ],
)
def test_what_does_not_fit_is_one_sentence(
    mlpatterns: Command, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], said: str
) -> None:
    monkeypatch.setattr("mlpatterns.launch.worker.run_worker", lambda *_, **__: served("titanic.onnx"))
    done = mlpatterns(*arguments)
    assert done.code in (1, 2)
    assert said in done.err
    assert done.err.startswith("mlpatterns: ")
    assert done.err.count("\n") == 1
