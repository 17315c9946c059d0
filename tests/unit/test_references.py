"""One parser of model references; whatever is written, the answer is a reference or a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlpatterns.references import (
    NAME,
    FileReference,
    Reference,
    RegisteredReference,
    check_name,
    name_of,
    parse_reference,
)
from mlpatterns.user_errors import UserError, WrongUse

names = st.from_regex(NAME, fullmatch=True)
references: st.SearchStrategy[Reference] = st.one_of(
    st.builds(RegisteredReference, names, names),
    st.builds(RegisteredReference, names, version=st.integers(1, 999_999_999)),
    st.builds(lambda text: FileReference(Path(text)), st.text(min_size=1)),
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("iris_sklearn_svc", RegisteredReference("iris_sklearn_svc", "champion")),
        ("iris@challenger", RegisteredReference("iris", "challenger")),
        ("iris:3", RegisteredReference("iris", version=3)),
        ("file:models/m.onnx", FileReference(Path("models/m.onnx"))),
        ("file:/a b/c:d@e.onnx", FileReference(Path("/a b/c:d@e.onnx"))),
        ("house.onnx", FileReference(Path("house.onnx"))),
        ("./house.onnx", FileReference(Path("house.onnx"))),
        ("../models v2/house.onnx", FileReference(Path("../models v2/house.onnx"))),
        ("/srv/a@b:3/house.onnx", FileReference(Path("/srv/a@b:3/house.onnx"))),
        ("House.ONNX", FileReference(Path("House.ONNX"))),
        ("house.onnx@champion", RegisteredReference("house.onnx", "champion")),
        ("house.onnx:3", RegisteredReference("house.onnx", version=3)),
    ],
)
def test_the_four_forms(text: str, expected: Reference) -> None:
    assert parse_reference(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "file:",
        "a:0",
        "a:-1",
        "a:01",
        "a:x",
        "a@",
        "@b",
        "a@b:3",
        "a b",
        "../a",
        "a/b",
        "a\n",
        ".a",
        "a:٣",
        "s3://models/house.onnx",
        "house.onnx.bak/x",
    ],
)
def test_what_is_none_of_them_is_a_sentence_that_shows_them(text: str) -> None:
    with pytest.raises(
        UserError, match=r"is not a model reference; write NAME, NAME@ALIAS, NAME:VERSION or FILE\.onnx"
    ):
        parse_reference(text)


@given(references)
def test_what_a_reference_writes_is_read_as_the_same_reference(reference: Reference) -> None:
    assert parse_reference(str(reference)) == reference


@given(
    st.text()
    | st.text(alphabet="ab:@./3\\0\n").map("file:".__add__)
    | st.text(alphabet="ab:@./-_03\n")
    | st.text(alphabet="ab:@./ ").map(lambda text: f"{text}.onnx")
)
def test_any_text_is_a_reference_or_a_user_error(text: str) -> None:
    try:
        reference = parse_reference(text)
    except UserError:
        return
    assert parse_reference(str(reference)) == reference


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("house.onnx", "house"),
        ("a/iris.v2.onnx", "iris.v2"),
        ("model (1).onnx", "model_1"),
        ("モデル v1.onnx", "v1"),
        ("モデル.onnx", "model"),
        ("_x.onnx", "x"),
        (f"{'a' * 200}.onnx", "a" * 128),
    ],
)
def test_a_file_has_a_name_that_a_model_can_have(file: str, name: str) -> None:
    assert name_of(Path(file)) == name
    check_name(name)


@pytest.mark.parametrize("name", ["", "a b", "_a", "モデル", "a/b", "a" * 129, "a\n"])
def test_what_no_model_can_be_called_is_refused(name: str) -> None:
    with pytest.raises(WrongUse, match=r"cannot be called .*, 128 at most; give one with --name"):
        check_name(name)
