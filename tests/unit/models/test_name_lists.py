"""Class names and column names in every spelling that people have them in."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlpatterns.models.name_lists import read_columns, read_labels
from mlpatterns.user_errors import SettingsError


@pytest.mark.parametrize(
    "text",
    [
        "setosa\nversicolor\n",
        "setosa\r\nversicolor\r\n",
        "\ufeffsetosa\nversicolor",
        "\n  setosa \n\nversicolor\n\n",
        '["setosa", "versicolor"]',
        '\ufeff\n {"0": "setosa", "1": "versicolor"}',
        '{"1": "versicolor", "0": "setosa"}',
    ],
)
def test_labels_are_read_however_they_are_written(tmp_path: Path, text: str) -> None:
    (tmp_path / "labels").write_text(text, encoding="utf-8", newline="")
    assert read_labels(tmp_path / "labels") == ("setosa", "versicolor")


@pytest.mark.parametrize(
    "text",
    ['{"b": 1, "a": 0}', '{"id2label": {"1": "b", "0": "a"}, "label2id": {"a": 0, "b": 1}, "model_type": "bert"}'],
)
def test_labels_may_be_in_a_configuration_of_transformers(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    assert read_labels(tmp_path / "config.json") == ("a", "b")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "are empty; write one label a line"),
        ("[]", "are empty"),
        ("{}", "are empty"),
        ("a\na\n", "the labels have 'a' twice"),
        ('["a", ""]', "an empty name"),
        ('{"0": "a", "2": "b"}', "have the numbers 0, 2; number them 0 to 1"),
        ('{"a": "0", "b": "1"}', "have the numbers a, b"),
        ("[1, 2]", "have 1 where a name should be; write one label a line"),
        ('{"0": "a"', "are not valid JSON"),
        ('{"0": "a", "1": null}', "have null where a name should be"),
        ('{"a": 0, "b": 0}', "have the numbers a, b"),
        ('{"id2label": ["a"]}', "have no names by number"),
    ],
)
def test_labels_that_are_none_are_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "labels").write_text(text)
    with pytest.raises(SettingsError, match=said) as caught:
        read_labels(tmp_path / "labels")
    assert "\n" not in str(caught.value)


def test_a_file_of_other_bytes_or_none_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    for name in ("bytes", "absent"):
        with pytest.raises(SettingsError, match="cannot be read"):
            read_labels(tmp_path / name)


@pytest.mark.parametrize(
    "text",
    ["age\nmean area\n", "\ufeffage\r\nmean area\r\n", "age,mean area\n1,2\n", '"age","mean area"\r\n',
     '["age", "mean area"]', "age, mean area"],
)  # fmt: skip
def test_columns_are_read_however_they_are_written(tmp_path: Path, text: str) -> None:
    (tmp_path / "columns.txt").write_text(text, encoding="utf-8", newline="")
    assert read_columns(str(tmp_path / "columns.txt")) == ("age", "mean area")


def test_names_are_given_without_a_file_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_columns("age, mean area") == ("age", "mean area")
    assert read_columns("age") == ("age",)
    assert read_labels("setosa,versicolor") == ("setosa", "versicolor")
    (tmp_path / "a,b").write_text("c\nd\n")
    assert read_columns("a,b") == read_labels("a,b") == ("c", "d")


@pytest.mark.parametrize("source", ["absent.txt", "folder/absent", "a,,b", "a,a"])
def test_columns_that_are_none_are_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError):
        read_columns(source)


def test_an_object_is_no_list_of_columns(tmp_path: Path) -> None:
    (tmp_path / "columns.json").write_text('{"0": "age"}')
    with pytest.raises(SettingsError, match="are a JSON object"):
        read_columns(tmp_path / "columns.json")
