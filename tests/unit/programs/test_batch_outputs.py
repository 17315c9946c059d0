"""From outputs to columns: their names, their kinds and their cells."""

from __future__ import annotations

import numpy as np

from mlpatterns.metadata import ModelMetadata, TensorSpec
from mlpatterns.programs.batch_outputs import BatchOutputs
from mlpatterns.stores.batch import Column, cells


def model(*specs: TensorSpec, labels: tuple[str, ...] = ()) -> ModelMetadata:
    return ModelMetadata("m", "1", "testing", (), specs, specs[-1].name, labels)


LABEL, SCORES = TensorSpec("label", "INT64", (-1,)), TensorSpec("p", "FP32", (-1, 3))


def test_numbers_are_columns_named_after_labels_or_counted() -> None:
    for labels, names in (
        ((), ["p_0", "p_1", "p_2"]),
        (("a", "b", "c"), ["p_a", "p_b", "p_c"]),
        (("a",), ["p_0", "p_1", "p_2"]),
    ):
        outputs = BatchOutputs(model(LABEL, SCORES, labels=labels), "id")
        assert outputs.columns == [Column("label", "int"), *(Column(name, "float") for name in names)]
        made = outputs.of({"label": np.array([2]), "p": np.array([[0.5, 0.25, 1]], np.float32)})
        assert {name: list(cells(column)) for name, column in made.items()} == {
            "label": [2], names[0]: [0.5], names[1]: [0.25], names[2]: [1],
        }  # fmt: skip


def test_what_is_wide_or_deep_or_of_no_known_size_is_json() -> None:
    for spec in (
        TensorSpec("x", "FP32", (-1, 65)),
        TensorSpec("x", "FP32", (-1, 2, 2)),
        TensorSpec("x", "FP32", (-1, -1)),
    ):
        assert BatchOutputs(model(spec), "id").columns == [Column("x", "json")]
    outputs = BatchOutputs(model(TensorSpec("x", "FP32", (-1, -1))), "id")
    assert outputs.of({"x": np.array([[1, 2.5]], np.float32)}) == {"x": ["[1.0,2.5]"]}


def test_text_is_text_and_a_truth_is_a_number() -> None:
    outputs = BatchOutputs(model(TensorSpec("t", "BYTES", (-1, 1)), TensorSpec("b", "BOOL", (-1,))), "id")
    assert outputs.columns == [Column("t", "text"), Column("b", "int")]
    made = outputs.of({"t": np.array([["ü".encode()]], object), "b": np.array([True])})
    assert {name: list(cells(column)) for name, column in made.items()} == {"t": ["ü"], "b": [1]}


def test_in_place_the_primary_output_is_json_in_one_column() -> None:
    outputs = BatchOutputs(model(LABEL, SCORES), "id", "prediction")
    assert outputs.names == ("p",)
    assert outputs.columns == [Column("prediction", "json")]
    assert outputs.of({"p": np.array([[0.5, 0, 1]], np.float32)}) == {"prediction": ["[0.5,0.0,1.0]"]}


def test_an_output_that_is_called_as_the_key_is_gets_another_name() -> None:
    assert BatchOutputs(model(TensorSpec("id", "FP32", (-1,))), "id").columns == [Column("id_", "float")]
