"""Weights in other files come into the model, and nothing else of it changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from mlpatterns.model_db.onnx_weights import embed_weights
from mlpatterns.user_errors import ModelFileError

WEIGHTS = np.arange(1200, dtype=np.float32).reshape(4, 300)


def refused(name: str) -> bytes:
    raise AssertionError(f"nothing should be read, not {name}")


def model() -> onnx.ModelProto:
    """One whose weights are in an initializer, in a constant, and in a graph inside of an `If`."""

    def tensor(name: str) -> TensorProto:
        return numpy_helper.from_array(WEIGHTS, name)

    value = helper.make_tensor_value_info
    given, a, b = (value(name, TensorProto.FLOAT, None) for name in "yab")
    then = helper.make_graph([helper.make_node("MatMul", ["x", "inner"], ["a"])], "then", [], [a], [tensor("inner")])
    constant = helper.make_node("Constant", [], ["c"], value=tensor("constant"))
    other = helper.make_graph([constant, helper.make_node("MatMul", ["x", "c"], ["b"])], "other", [], [b])
    nodes = [
        helper.make_node("If", ["which"], ["chosen"], then_branch=then, else_branch=other),
        helper.make_node("MatMul", ["x", "outer"], ["more"]),
        helper.make_node("Add", ["chosen", "more"], ["y"]),
    ]
    inputs = [value("x", TensorProto.FLOAT, ["n", 4]), value("which", TensorProto.BOOL, [])]
    graph = helper.make_graph(nodes, "g", inputs, [given], [tensor("outer")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("together", [True, False])
def test_weights_in_other_files_come_into_the_model(tmp_path: Path, together: bool) -> None:
    whole = model()
    onnx.save_model(model(), tmp_path / "m.onnx", save_as_external_data=True, all_tensors_to_one_file=together,
                    convert_attribute=True)  # fmt: skip
    outside = (tmp_path / "m.onnx").read_bytes()
    assert len(outside) < WEIGHTS.nbytes
    read: set[str] = set()

    def reading(name: str) -> bytes:
        read.add(name)
        return (tmp_path / name).read_bytes()

    assert onnx.load_from_string(embed_weights(outside, reading)) == whole
    assert len(read) == (1 if together else 3)


def test_a_model_in_one_file_stays_as_it_is() -> None:
    content = model().SerializeToString()
    assert embed_weights(content, refused) is content


@pytest.mark.parametrize(
    ("entries", "sentence"),
    [
        ({"location": "w", "offset": "many"}, "is not a number"),
        ({"location": "w", "offset": "-1"}, "shorter"),
        ({"location": "w", "offset": "8", "length": "1"}, "shorter"),
        ({"location": "w", "offset": "0", "length": "9"}, "shorter"),
    ],
)
def test_a_place_that_is_none_is_refused(entries: dict[str, str], sentence: str) -> None:
    tensor = TensorProto(data_location=TensorProto.EXTERNAL)
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)
    graph = helper.make_graph([], "g", [], [], [tensor])
    with pytest.raises(ModelFileError, match=sentence):
        embed_weights(helper.make_model(graph).SerializeToString(), lambda _: b"12345678")


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_whatever_the_bytes_are_they_are_copied_or_refused(content: bytes) -> None:
    try:
        assert isinstance(embed_weights(content, lambda _: b""), bytes)
    except ModelFileError as error:
        assert str(error)  # noqa: PT017 - any other error fails the test


@settings(deadline=None)
@given(st.data())
def test_a_damaged_model_is_read_or_refused(data: st.DataObject) -> None:
    content = bytearray(model().SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        embed_weights(bytes(content), lambda _: b"")
    except ModelFileError as error:
        assert str(error)  # noqa: PT017 - any other error fails the test


def length(value: int) -> bytes:
    made = b""
    while value > 127:
        made, value = made + bytes([value & 127 | 128]), value >> 7
    return made + bytes([value])


def test_what_is_nested_without_end_is_refused() -> None:
    content = b""
    for _ in range(100):
        for tag in (0x32, 0x2A, 0x0A):  # a graph of an attribute, an attribute of a node, a node of a graph
            content = bytes([tag]) + length(len(content)) + content
    with pytest.raises(ModelFileError, match="nested too deeply"):
        embed_weights(b"\x3a" + length(len(content)) + content, refused)
