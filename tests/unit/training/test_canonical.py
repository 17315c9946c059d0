"""The canonical form: equal computations, equal bytes; other computations, other bytes."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mlpatterns.training.canonical import canonical
from mlpatterns.training.parity import run_onnx
from mlpatterns.user_errors import UserError

X = np.array([[1.0, 2.0]], dtype=np.float32)


def graph(
    *, prefix: str = "", flipped: bool = False, factor: float = 3.0, producer: str = "", dead: bool = False
) -> onnx.ModelProto:
    """y = (x + c) * 3 + (x - c), its parts named, ordered and documented as told."""
    nodes = [
        helper.make_node("Add", ["x", f"{prefix}c"], [f"{prefix}a"], name=f"{prefix}n1", doc_string=producer),
        helper.make_node("Sub", ["x", f"{prefix}c"], [f"{prefix}b"]),
        helper.make_node("Mul", [f"{prefix}a", f"{prefix}f"], [f"{prefix}m"]),
        helper.make_node("Add", [f"{prefix}m", f"{prefix}b"], ["y"]),
    ]
    if dead:
        nodes.append(helper.make_node("Neg", ["x"], ["unused"]))
    if flipped:
        nodes[0], nodes[1] = nodes[1], nodes[0]
    constants = [
        numpy_helper.from_array(np.array([0.5], np.float32), f"{prefix}c"),
        numpy_helper.from_array(np.array([factor], np.float32), f"{prefix}f"),
    ]
    made = helper.make_graph(
        nodes,
        prefix or "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 2])],
        constants[::-1] if flipped else constants,
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(made, opset_imports=opsets[::-1] if flipped else opsets, producer_name=producer)
    model.ir_version = 8
    return model


@pytest.mark.parametrize(
    "other",
    [graph(prefix="v2_"), graph(flipped=True), graph(producer="an exporter"), graph(dead=True)],
    ids=["names", "order", "producer and documentation", "a node that nothing needs"],
)
def test_what_decides_no_answer_changes_no_byte(other: onnx.ModelProto) -> None:
    assert canonical(other, name="m") == canonical(graph(), name="m")


def test_another_constant_gives_other_bytes() -> None:
    assert canonical(graph(factor=4.0), name="m") != canonical(graph(), name="m")


def test_the_answers_stay_the_same() -> None:
    before = run_onnx(graph(flipped=True).SerializeToString(), {"x": X})
    after = run_onnx(canonical(graph(flipped=True), name="m"), {"x": X})
    assert np.array_equal(before["y"], after["y"])


def test_the_canonical_form_of_a_canonical_form_is_itself() -> None:
    once = canonical(graph(), name="m")
    assert canonical(onnx.load_from_string(once), name="m") == once


def test_names_opsets_and_producer_are_fixed() -> None:
    made = onnx.load_from_string(canonical(graph(flipped=True, producer="an exporter"), name="m"))
    assert (made.graph.name, made.producer_name, made.producer_version) == ("m", "mlpatterns", "")
    assert [entry.domain for entry in made.opset_import] == ["", "ai.onnx.ml"]
    assert [node.name for node in made.graph.node] == ["node_0", "node_1", "node_2", "node_3"]
    assert [value.name for value in (*made.graph.input, *made.graph.output)] == ["x", "y"]


def test_equal_constants_become_one() -> None:
    model = graph(factor=0.5)
    assert len(onnx.load_from_string(canonical(model, name="m")).graph.initializer) == 1


def test_a_graph_with_subgraphs_is_refused() -> None:
    body = helper.make_graph([], "body", [], [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])])
    model = graph()
    model.graph.node.append(helper.make_node("If", ["x"], ["z"], then_branch=body, else_branch=body))
    with pytest.raises(UserError, match="has no canonical form"):
        canonical(model, name="m")


def test_a_graph_with_a_cycle_is_refused() -> None:
    model = graph()
    model.graph.node[0].input[0] = "m"
    with pytest.raises(UserError, match="a cycle or an input that nothing makes"):
        canonical(model, name="m")
