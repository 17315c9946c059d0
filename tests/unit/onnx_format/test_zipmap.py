"""ZipMap is cut out of a model's bytes: the tensor behind it has its place and its name."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto as T
from onnx import helper

from mlpatterns.onnx_format.zipmap import cut
from mlpatterns.user_errors import ModelFileError
from onnx_graphs import THREE, classifier, floats, made, maps, zip_map

ROWS = np.array([[1, 2], [3, -4], [0, 0]], np.float32)
X3 = {"x": floats("n", 3)}


def outputs(content: bytes, **inputs: Any) -> dict[str, Any]:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    names = [node.name for node in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def test_a_model_without_one_stays_the_object_that_it_is() -> None:
    content = classifier(THREE, zipped=False)
    assert cut(content) is content


@pytest.mark.parametrize("classes", [THREE, [0, 1, 2], [-1, 5], ["no", "yes"]])
def test_the_scores_are_the_numbers_of_the_maps_in_the_order_of_their_classes(classes: list[Any]) -> None:
    whole = classifier(classes)
    before, after = outputs(whole, x=ROWS), outputs(cut(whole), x=ROWS)
    assert list(after) == ["label", "scores"]
    assert after["label"].tolist() == before["label"].tolist()
    assert after["scores"].tolist() == [[row[name] for name in classes] for row in before["scores"]]


def test_scores_that_are_float64_are_served_as_floats() -> None:
    cast = helper.make_node("Cast", ["x"], ["wide"], to=T.DOUBLE)  # as a converter makes them of float64 columns
    content = made([cast, zip_map("wide", "m")], X3, {"m": maps("m")})
    found = outputs(cut(content), x=np.array([[1, 2, 3]], np.float32))["m"]
    assert (found.dtype, found.tolist()) == (np.float32, [[1, 2, 3]])


def test_in_an_opset_that_has_no_such_cast_the_scores_are_handed_on() -> None:
    old = onnx.load_model_from_string(classifier(THREE))
    old.opset_import[0].version = 5
    assert onnx.load_model_from_string(cut(old.SerializeToString())).graph.node[-1].op_type == "Identity"


def test_the_output_declares_what_it_is() -> None:
    session = onnxruntime.InferenceSession(cut(classifier(THREE)), providers=["CPUExecutionProvider"])
    scores = session.get_outputs()[1]
    assert (scores.name, scores.type, scores.shape) == ("scores", "tensor(float)", ["batch", 3])


def test_several_are_cut_and_what_only_hands_them_on() -> None:
    nodes = [zip_map("x", "m"), helper.make_node("Neg", ["x"], ["minus"]), zip_map("minus", "k"),
             helper.make_node("Identity", ["k"], ["handed"])]  # fmt: skip
    content = made(nodes, X3, {"m": maps("m"), "handed": maps("handed")})
    rows = np.array([[1, 2, 3]], np.float32)
    found = {name: value.tolist() for name, value in outputs(cut(content), x=rows).items()}
    assert found == {"m": [[1, 2, 3]], "handed": [[-1, -2, -3]]}


def test_in_both_branches_of_an_if_it_is_cut_and_so_is_what_comes_out() -> None:
    yes = helper.make_graph([zip_map("x", "a")], "yes", [], [maps("a")])
    no = helper.make_graph([helper.make_node("Neg", ["x"], ["minus"]), zip_map("minus", "b")], "no", [], [maps("b")])
    nodes = [helper.make_node("If", ["which"], ["m"], then_branch=yes, else_branch=no)]
    content = made(nodes, {**X3, "which": (T.BOOL, [])}, {"m": maps("m")})
    rows = np.array([[1, 2, 3]], np.float32)
    for which, expected in ((True, [[1, 2, 3]]), (False, [[-1, -2, -3]])):
        assert outputs(cut(content), x=rows, which=np.array(which))["m"].tolist() == expected


def test_a_model_that_uses_no_other_domain_gets_that_of_identity() -> None:
    content = made([zip_map("x", "m")], X3, {"m": maps("m")}, domains=["ai.onnx.ml"])
    assert outputs(cut(content), x=np.ones((1, 3), np.float32))["m"].tolist() == [[1, 1, 1]]


def test_maps_that_a_node_computes_with_stay_maps() -> None:
    nodes = [zip_map("x", "m"), helper.make_node("OfMaps", ["m"], ["y"], domain="somebody")]
    content = made(nodes, X3, {"y": floats("n")}, domains=["", "ai.onnx.ml", "somebody"])
    assert cut(content) is content


def test_all_else_is_kept() -> None:
    whole = onnx.load_model_from_string(classifier(THREE))
    helper.set_model_props(whole, {"who": "me"})
    whole.doc_string, whole.producer_name, whole.graph.doc_string = "kept", "somebody", "kept too"
    found = onnx.load_model_from_string(cut(whole.SerializeToString()))
    whole.graph.node[-1].op_type, whole.graph.node[-1].domain = "Cast", ""
    del whole.graph.node[-1].attribute[:]
    whole.graph.node[-1].attribute.append(helper.make_attribute("to", T.FLOAT))
    whole.graph.output[-1].CopyFrom(helper.make_tensor_value_info("scores", T.FLOAT, ["batch", 3]))
    assert found == whole


@given(st.binary(max_size=200), st.integers(0, 400))
def test_bytes_that_are_no_model_raise_nothing_else(noise: bytes, place: int) -> None:
    whole = classifier(THREE)
    for content in (b"ZipMap" + noise, whole[:place] + noise + whole[place + len(noise) :], whole[:place]):
        with suppress(ModelFileError):
            assert isinstance(cut(content), bytes)
