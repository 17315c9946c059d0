"""MLmodel files as MLflow writes them, and as nobody should."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mlpatterns.model_db.mlflow_model import MlflowModel, plain_path, read_mlmodel
from mlpatterns.user_errors import ModelFileError

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def dumped(file: Any) -> bytes:
    text: str = yaml.safe_dump(file)
    return text.encode()


def flavored(onnx: Any) -> bytes:
    return dumped({"flavors": {"onnx": onnx}})


def signed(signature: Any) -> bytes:
    return dumped({"flavors": {"onnx": {"data": "m"}}, "signature": signature})


def mlmodel(inputs: Any = None, **onnx: Any) -> bytes:
    flavors = {"python_function": {"loader_module": "mlflow.onnx"}, "onnx": {"onnx_version": "1.20.0", **onnx}}
    signature = {"inputs": inputs if isinstance(inputs, str) else json.dumps(inputs), "outputs": None, "params": None}
    file = {"flavors": flavors, "mlflow_version": "3.0.0", "run_id": "a" * 32, "signature": signature}
    return dumped(file)


def test_the_file_and_the_columns_are_read() -> None:
    columns = [{"type": "double", "name": name, "required": True} for name in ("one", "two")]
    assert read_mlmodel(mlmodel(columns, data="model.onnx")) == MlflowModel("model.onnx", ("one", "two"))


@pytest.mark.parametrize(
    "inputs",
    [
        [{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 4]}}],
        [{"type": "tensor", "name": "x", "tensor-spec": {"dtype": "float32", "shape": [-1, 4]}}],
        [{"type": "double", "name": "one"}, {"type": "double", "name": "one"}],
        [{"type": "double"}],
        "no JSON",
        None,
    ],
)
def test_a_signature_without_named_columns_gives_none(inputs: Any) -> None:
    assert read_mlmodel(mlmodel(inputs, data="model.onnx")).columns == ()


def test_without_an_onnx_flavor_the_sentence_names_those_that_are_there() -> None:
    content = yaml.safe_dump({"flavors": {"sklearn": {}, "python_function": {}}}).encode()
    with pytest.raises(
        ModelFileError, match=r"no ONNX flavor \(it has: python_function, sklearn\); log it with mlflow"
    ):
        read_mlmodel(content)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[1, 2]",
        b"flavors: 3",
        b"\xff\xfe\x00",
        b"a: [",
        b"[" * 5000,
        b"flavors: !!python/object/apply:os.system ['true']",
        b"flavors: {onnx: {data: 2001-99-99}}",
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_is_no_such_file_is_refused(content: bytes) -> None:
    with pytest.raises(ModelFileError):
        read_mlmodel(content)


@pytest.mark.parametrize("path", ["", ".", "..", "../m.onnx", "a/../../m", "/etc/passwd", "a\\b", "~/m", "a\nb", "a?b"])
def test_a_path_that_leads_elsewhere_is_refused(path: str) -> None:
    with pytest.raises(ModelFileError, match="not a plain path below it"):
        read_mlmodel(mlmodel(data=path))


@settings(deadline=None)
@given(st.text(st.sampled_from("ab./\\~%\0 _-"), max_size=12))
def test_a_path_that_is_let_through_stays_below_its_folder(text: str) -> None:
    try:
        path = plain_path(text)
    except ModelFileError:
        return
    folder = Path("/folder")
    assert (folder / path).resolve().is_relative_to(folder)
    assert ".." not in PurePosixPath(path).parts
    assert (folder / path).resolve() != folder


@settings(deadline=None)
@given(st.binary(max_size=120) | PLAIN.map(flavored) | PLAIN.map(signed))
def test_whatever_the_bytes_are_a_model_is_read_or_one_sentence_told(content: bytes) -> None:
    try:
        found = read_mlmodel(content)
    except ModelFileError as error:
        assert "\n" not in str(error)  # noqa: PT017 - any other error fails the test
        return
    assert plain_path(found.data) == found.data
