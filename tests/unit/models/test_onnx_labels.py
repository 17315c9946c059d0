"""Which labels a model has, and which are refused; where one score has two, a threshold tells them apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from msgspec.structs import replace
from onnx import TensorProto as T
from onnx import helper

from mlpatterns.registry.files import METADATA_KEY, dump_metadata, metadata_path
from mlpatterns.tensors import best_labels
from mlpatterns.user_errors import ModelFileError, SettingsError, UserError
from onnx_graphs import ML, THREE, argmax, classifier, floats, made, zip_map
from unit.models.described import answers_of, metadata_of, saved


def one_score(shape: list[Any], *, label: bool = False, turned: bool = False) -> bytes:
    """`x` -> the sigmoid of it; its own label "no" or "yes" is by 0.5, or `turned`."""
    sigmoid = helper.make_node("Sigmoid", ["x"], ["p"])
    if not label:
        return made([sigmoid], {"x": (T.FLOAT, shape)}, {"p": (T.FLOAT, shape)})
    nodes = [sigmoid, helper.make_node("Greater", ["p", "half"], ["above"]),
             helper.make_node("Cast", ["above"], ["number"], to=T.INT64),
             helper.make_node("LabelEncoder", ["number"], ["label"], domain=ML, keys_int64s=[0, 1],
                              values_strings=["no", "yes"])]  # fmt: skip
    if turned:
        nodes[1] = helper.make_node("Less", ["p", "half"], ["above"])
    half = helper.make_tensor("half", T.FLOAT, [1], [0.5])
    return made(nodes, {"x": (T.FLOAT, shape)}, {"label": (T.STRING, shape), "p": (T.FLOAT, shape)}, half)


@pytest.mark.parametrize("zipped", [True, False])
def test_the_names_in_the_graph_are_the_labels(tmp_path: Path, zipped: bool) -> None:
    found = metadata_of(saved(tmp_path, classifier(THREE, zipped=zipped)))
    assert (found.primary_output, found.labels) == ("scores", ("ant", "bee", "cat"))


def test_numbers_in_the_graph_can_be_given_names_and_names_in_it_others_cannot(tmp_path: Path) -> None:
    numbers = saved(tmp_path, classifier([0, 1, 2]), "numbers")
    assert metadata_of(numbers).labels == ("0", "1", "2")
    assert metadata_of(numbers, labels=["x", "y", "z"]).labels == ("x", "y", "z")
    names = saved(tmp_path, classifier(THREE), "names")
    assert metadata_of(names, labels=THREE).labels == ("ant", "bee", "cat")
    for wrong in (["bee", "ant", "cat"], ["ant", "bee", "cow"], ["ant", "bee"]):
        with pytest.raises(SettingsError, match=rf"^the labels are {', '.join(wrong)}, but the model's own classes "
                                                r"are ant, bee, cat, in this order; leave --labels out$"):  # fmt: skip
            metadata_of(names, labels=wrong)


def test_labels_beside_a_file_or_in_it_that_contradict_it_are_refused(tmp_path: Path) -> None:
    reference = saved(tmp_path, classifier(THREE))
    path = Path(reference.removeprefix("file:"))
    wrong = dump_metadata(replace(metadata_of(reference), labels=("x", "y", "z")))
    metadata_path(path).write_bytes(wrong)
    with pytest.raises(ModelFileError, match="the labels in its metadata are x, y, z, but the model's own classes are"):
        metadata_of(reference)


@pytest.mark.parametrize("labels", [["a", "a", "b"], ["a", " ", "b"], "abc"])
def test_labels_that_tell_nothing_apart_are_refused(labels: Any, tmp_path: Path) -> None:
    with pytest.raises(SettingsError):
        metadata_of(saved(tmp_path, classifier([0, 1, 2])), labels=labels)


@pytest.mark.parametrize("shape", [["n", 1], ["n"]])
def test_one_score_for_two_labels_asks_for_a_threshold(tmp_path: Path, shape: list[Any]) -> None:
    reference = saved(tmp_path, one_score(shape))
    assert metadata_of(reference).labels == ()
    with pytest.raises(SettingsError, match=r"one score for the labels low, high; say with --threshold .* 0.5 for"):
        metadata_of(reference, labels=["low", "high"])
    found = metadata_of(reference, labels=["low", "high"], threshold=0.5)
    assert (found.labels, found.threshold) == (("low", "high"), 0.5)


@pytest.mark.parametrize(
    ("content", "options", "said"),
    [
        (classifier(THREE), {"threshold": 0.5}, "has 3 scores a row and 3 labels; leave --threshold out"),
        (one_score(["n", 1]), {"threshold": 0.5}, "1 score a row and no labels; name them with --labels"),
        (one_score(["n", 1]), {"threshold": float("nan"), "labels": ["a", "b"]}, "is not a number"),
        (
            one_score(["n", 1]),
            {"labels": ["a", "b", "c"]},
            "the number of labels is 3, but the model's 'p' has 1 score a row",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_threshold_or_labels_that_do_not_fit_are_refused(
    tmp_path: Path, content: bytes, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        metadata_of(saved(tmp_path, content), **options)


def test_a_model_that_has_its_own_label_beside_one_score_shows_its_threshold(tmp_path: Path) -> None:
    found = metadata_of(saved(tmp_path, one_score(["n", 1], label=True)))
    assert (found.primary_output, found.labels, found.threshold) == ("p", ("no", "yes"), 0.5)


def test_a_label_that_no_threshold_gives_leaves_the_score_without_labels(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = metadata_of(saved(tmp_path, one_score(["n", 1], label=True, turned=True)))
    assert (found.primary_output, found.labels, found.threshold) == ("p", (), None)
    assert "one score for its classes no, yes, so it answers without labels; say with --threshold" in caplog.text


def test_scores_that_contradict_the_label_are_not_what_it_answers_with(tmp_path: Path) -> None:
    nodes = [helper.make_node("Neg", ["x"], ["scores"]), argmax("x", "best"),
             helper.make_node("LabelEncoder", ["best"], ["label"], domain=ML, keys_int64s=[0, 1, 2],
                              values_strings=THREE)]  # fmt: skip
    content = made(nodes, {"x": floats("n", 3)}, {"label": (T.STRING, ["n"]), "scores": floats("n", 3)})
    found, outputs = answers_of(saved(tmp_path, content), {"x": np.array([[1, 2, 3]], np.float32)})
    assert (found.primary_output, found.labels) == ("label", ("ant", "bee", "cat"))
    assert outputs["label"].tolist() == [b"cat"]


def test_a_model_of_a_label_alone_answers_with_it(tmp_path: Path) -> None:
    nodes = [argmax("x", "best"), helper.make_node("LabelEncoder", ["best"], ["label"], domain=ML,
                                                   keys_int64s=[0, 1, 2], values_strings=THREE)]  # fmt: skip
    found = metadata_of(saved(tmp_path, made(nodes, {"x": floats("n", 3)}, {"label": (T.STRING, ["n"])})))
    assert (found.primary_output, found.labels) == ("label", ("ant", "bee", "cat"))


def test_a_class_number_alone_is_the_place_of_a_label(tmp_path: Path) -> None:
    """As of a network that ends in an ArgMax."""
    plain = saved(tmp_path, made([argmax("x", "best")], {"x": floats("n", 3)}, {"best": (T.INT64, ["n"])}))
    assert metadata_of(plain).labels == ()
    assert metadata_of(plain, labels=THREE).labels == ("ant", "bee", "cat")
    own = classifier([5, 6, 7])
    one = onnx.load_model_from_string(own)
    del one.graph.node[1:], one.graph.output[1:]
    alone = saved(tmp_path, one.SerializeToString(), "alone")
    assert metadata_of(alone).labels == ()
    with pytest.raises(SettingsError, match="'label' is the class itself \\(5, 6, 7\\), and not the index of a label"):
        metadata_of(alone, labels=THREE)


def test_where_the_scores_are_distances_the_labels_are_those_of_the_nearest(tmp_path: Path) -> None:
    """As of a k-means: by the highest score each row would get the label of the farthest."""
    nodes = [helper.make_node("Abs", ["x"], ["distances"]),
             helper.make_node("ArgMin", ["distances"], ["label"], axis=1, keepdims=0)]  # fmt: skip
    content = made(nodes, {"x": floats("n", 3)}, {"label": (T.INT64, ["n"]), "distances": floats("n", 3)})
    reference = saved(tmp_path, content)
    assert metadata_of(reference).primary_output == "distances"
    found, outputs = answers_of(reference, {"x": np.array([[3, 2, 1]], np.float32)}, labels=THREE)
    assert (found.primary_output, found.labels) == ("label", ("ant", "bee", "cat"))
    assert best_labels(outputs["label"], found.labels) == "cat"


def test_a_table_of_classes_that_is_not_that_of_the_scores_names_nothing(tmp_path: Path) -> None:
    content = made([zip_map("x", "m", ["a", "b"]), helper.make_node("Identity", ["x"], ["y"])],
                   {"x": floats("n", 3)}, {"y": floats("n", 3)})  # fmt: skip
    assert metadata_of(saved(tmp_path, content)).labels == ()


def test_an_output_is_declared_as_it_comes(tmp_path: Path) -> None:
    """LightGBM's converter says [1] of a label for each row, and others leave the number of scores open."""
    nodes = [helper.make_node("Compress", ["x", "kept"], ["scores"], axis=1), argmax("x", "label")]
    kept = helper.make_tensor("kept", T.BOOL, [3], [True] * 3)
    content = made(nodes, {"x": floats("n", 3)}, {"label": (T.INT64, [1]), "scores": floats("n", "k")}, kept)
    found = metadata_of(saved(tmp_path, content))
    assert [spec.shape for spec in found.outputs] == [(-1,), (-1, -1)]
    with pytest.raises(SettingsError, match="the number of labels is 2, but the model's 'scores' has 3 scores a row"):
        metadata_of(saved(tmp_path, content), labels=["a", "b"])


def test_the_metadata_in_a_file_are_its_own_and_those_beside_it_win(tmp_path: Path) -> None:
    bare = saved(tmp_path, classifier([0, 1, 2]), "bare")
    said = replace(metadata_of(bare), labels=("x", "y", "z"))
    nodes = [helper.make_node("Identity", ["x"], ["y"])]
    content = made(nodes, {"x": floats("n", 2)}, {"y": floats("n", 2)})
    sides = metadata_of(saved(tmp_path, content))
    inputs = (replace(sides.inputs[0], fields=("age", "fare"), missing=True, missing_fields=("age",)),)
    sample = {"x": np.array([[22.0, 7.25]], np.float32)}
    record = replace(sides, inputs=inputs, labels=("lost", "saved"), sample=sample)
    properties = {METADATA_KEY: dump_metadata(record).decode()}
    reference = saved(tmp_path, made(nodes, {"x": floats("n", 2)}, {"y": floats("n", 2)}, properties=properties), "in")
    found = metadata_of(reference)
    assert (found.inputs, found.labels, found.name) == (inputs, ("lost", "saved"), "in")
    assert found.sample is not None
    assert found.sample["x"].tolist() == [[22.0, 7.25]]
    metadata_path(Path(reference.removeprefix("file:"))).write_bytes(dump_metadata(replace(record, labels=("a", "b"))))
    assert metadata_of(reference).labels == ("a", "b")
    other = {METADATA_KEY: dump_metadata(said).decode()}
    with pytest.raises(ModelFileError, match=r"^the metadata in other\.onnx and its model do not agree on"):
        metadata_of(
            saved(tmp_path, made(nodes, {"x": floats("n", 2)}, {"y": floats("n", 2)}, properties=other), "other")
        )
    broken = made(nodes, {"x": floats("n", 2)}, {"y": floats("n", 2)}, properties={METADATA_KEY: "[]"})
    with pytest.raises(ModelFileError, match=r"^the metadata in broken\.onnx does not describe a model"):
        metadata_of(saved(tmp_path, broken, "broken"))
