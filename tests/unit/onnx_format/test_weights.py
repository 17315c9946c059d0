"""Which files a model keeps weights in, wherever its tensors are; names that lead elsewhere are refused."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from mlpatterns.onnx_format.weights import external_files, external_files_of
from mlpatterns.user_errors import ModelFileError
from releases import graph
from weighted import Where, outside, weighted


@pytest.mark.parametrize("where", get_args(Where))
def test_the_file_is_found_wherever_the_tensor_is(tmp_path: Path, where: Where) -> None:
    path = weighted(tmp_path / "m.onnx", 2.0, "deep/w.data", where)
    assert external_files_of(path) == ("deep/w.data",)


def test_a_sparse_tensor_keeps_both_its_parts_in_files(tmp_path: Path) -> None:
    values, indices = outside(tmp_path, "values"), outside(tmp_path, "indices")
    sparse = helper.make_sparse_tensor(values, indices, [9])
    made = helper.make_graph([helper.make_node("Constant", [], ["c"], sparse_value=sparse)], "g", [], [])
    assert external_files(helper.make_model(made).SerializeToString()) == ("indices", "values")


def test_several_tensors_in_one_file_are_one_file_and_in_several_all_of_them(tmp_path: Path) -> None:
    tensors = [outside(tmp_path, location) for location in ("b", "./a", "a", "c//d")]
    model = helper.make_model(helper.make_graph([], "g", [], [], tensors))
    assert external_files(model.SerializeToString()) == ("a", "b", "c/d")


def test_a_model_that_is_whole_has_none_even_where_it_speaks_of_a_location(tmp_path: Path) -> None:
    node = helper.make_node("Identity", ["location"], ["y"])
    inside = helper.make_tensor("location", TensorProto.FLOAT, [1], [1.0])
    assert external_files(helper.make_model(helper.make_graph([node], "g", [], [], [inside])).SerializeToString()) == ()
    (tmp_path / "m.onnx").write_bytes(graph(1.0))
    assert external_files_of(tmp_path / "m.onnx") == ()
    (tmp_path / "empty.onnx").write_bytes(b"")
    assert external_files_of(tmp_path / "empty.onnx") == ()


def test_it_is_found_across_the_ends_of_what_is_read_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = weighted(tmp_path / "m.onnx", 2.0)
    for size in range(1, 40):
        monkeypatch.setattr("mlpatterns.onnx_format.weights.CHUNK", size)
        assert external_files_of(path) == ("weights.bin",)


@pytest.mark.parametrize(
    "location", ["/etc/passwd", "../w.bin", "a/../../w.bin", "", ".", "a\\w.bin", "a\nb", "*/_ORT_MEM_ADDR_/*"]
)
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, location: str) -> None:
    model = helper.make_model(helper.make_graph([], "g", [], [], [outside(tmp_path, location)]))
    with pytest.raises(ModelFileError, match="not a file below its own folder"):
        external_files(model.SerializeToString())


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_whatever_the_bytes_are_the_error_is_ours(before: bytes, after: bytes) -> None:
    with suppress(ModelFileError):
        external_files(before + b"location" + after)


@given(st.integers(0, 300), st.binary(min_size=1, max_size=3))
def test_a_damaged_model_names_no_file_elsewhere(offset: int, damage: bytes) -> None:
    tensor = outside(Path(), "w.bin")
    content = bytearray(helper.make_model(helper.make_graph([], "g", [], [], [tensor])).SerializeToString())
    content[offset : offset + len(damage)] = damage
    with suppress(ModelFileError):
        assert not any(name.startswith(("/", "..")) for name in external_files(bytes(content)))


def test_a_model_without_such_files_needs_no_protobuf(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(graph(1.0))
    code = ("import sys; from pathlib import Path; from mlpatterns.registry.files import unregistered_files; "
            f"unregistered_files(Path({str(tmp_path / 'm.onnx')!r})); "
            "assert 'google.protobuf' not in sys.modules")  # fmt: skip
    subprocess.run([sys.executable, "-c", code], check=True)
