"""Models of several inputs over the simple API: rows by name, columns by name, rows by position, and each mistake."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlpatterns.errors import InvalidInput, TooLarge
from mlpatterns.metadata import Array, TensorSpec
from mlpatterns.models.python.python import PythonModel
from mlpatterns.server.rows import decoder_for, reader_for
from mlpatterns.settings import Settings
from mlpatterns.testing import client

PEOPLE = (
    TensorSpec("age", "FP32", (-1, 1), missing=True),
    TensorSpec("fare paid", "FP64", (-1, 1)),
    TensorSpec("性別", "BYTES", (-1, 1)),
    TensorSpec("class", "INT64", (-1, 1)),
    TensorSpec("alone", "BOOL", (-1,)),
)
ROW = {"age": 22, "fare paid": 7.25, "性別": "m", "class": 3, "alone": True}
WIDE = (
    TensorSpec("image", "FP32", (-1, 2, 2)),
    TensorSpec("meta", "INT8", (-1, 3)),
    TensorSpec("named", "FP32", (-1, 2), fields=("a", "b")),
)
ROWS_OR_COLUMNS = 'send rows, as a DataFrame\'s to_dict("records") gives them, or columns, as to_dict("list")'
ALLOW = "(allow it with missing=True in the model's TensorSpec or --missing {})"
EXTRA = "(to drop unknown columns, serve with --extra-columns ignore)"


def body(data: Any) -> bytes:
    return json.dumps({"data": data}).encode()


def read(data: Any, specs: tuple[TensorSpec, ...] = PEOPLE, **options: Any) -> dict[str, Any]:
    arrays = reader_for(specs, 1000, **options)(body(data))
    for spec in specs:
        assert arrays[spec.name].ndim == len(spec.shape)
    return {name: array.tolist() for name, array in arrays.items()}


def refused(data: Any, specs: tuple[TensorSpec, ...] = PEOPLE) -> str:
    with pytest.raises(InvalidInput) as caught:
        reader_for(specs, 1000)(body(data))
    return str(caught.value)


def columns(*rows: Mapping[str, Any]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in rows[0]}


SECOND = {**ROW, "age": None, "class": 1.0}
READ = {"age": [[22.0], [22.0]], "fare paid": [[7.25], [7.25]], "性別": [[b"m"], [b"m"]], "class": [[3], [3]],
        "alone": [True, True]}  # fmt: skip


def test_rows_by_name_columns_by_name_and_rows_by_position_are_the_same() -> None:
    shuffled = dict(reversed(ROW.items()))
    for data in ([ROW, shuffled], columns(ROW, shuffled), [list(ROW.values())] * 2):
        assert read(data) == READ


def test_a_missing_number_is_nan_and_a_whole_number_may_be_written_as_a_float() -> None:
    for data in ([ROW, SECOND], columns(ROW, SECOND), [list(ROW.values()), list(SECOND.values())]):
        found = read(data)
        np.testing.assert_array_equal(found["age"], [[22], [np.nan]])
        assert found["class"] == [[3], [1]]


def test_integers_are_never_rounded() -> None:
    assert read([{**ROW, "class": 9007199254740993}, {**ROW, "class": 2.0}])["class"] == [[9007199254740993], [2]]
    rounded = refused([{**ROW, "class": 9007199254740994.0}])
    assert (
        rounded == "data[0]: class is 9007199254740994.0, which may be rounded; send it as an integer, without a point"
    )
    assert refused([{**ROW, "class": 2**63}]) == "data[0]: class holds a number that does not fit INT64"


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ([], "data must hold at least one row"),
        (columns(ROW) | {name: [] for name in ROW}, "data must hold at least one row"),
        (None, "data must be a list, not null"),
        ([5], "data[0] must be a row of age, fare paid, 性別, class, alone"),
        ([{}], "data[0]: missing age, fare paid, 性別, class, alone"),
        ([[1, 2]], "data[0] has 2 values, expected 5 (age, fare paid, 性別, class, alone)"),
        ([ROW, [1]], "data[1] is a list, but the first row is an object: use one form for all"),
        ([list(ROW.values()), ROW], "data[1] is an object, but the first row is a list: use one form for all"),
        ([ROW, None], "data[1] is no object, but the first row is an object: use one form for all"),
        ([ROW, {**ROW, "more": 1}], f"data[1]: unknown more {EXTRA}"),
        (
            [ROW, {"fare paid": None, "性別": 7, "class": 2.5, "alone": 1, "more": 1}],
            (f"data[1]: fare paid must be a number, not null {ALLOW.format('fare paid')}; "
             "性別 must be a string, not an integer; class must be an integer, not 2.5; "
             f"alone must be a boolean, not an integer; missing age; unknown more {EXTRA}"),
        ),
        ([ROW, {**ROW, "class": None}], "data[1]: class must be an integer, not null"),
        ([{**ROW, "age": True}], "data[0]: age must be a number or null, not a boolean"),
        ([{**ROW, "age": 1e39}], "data[0]: age holds a number that does not fit FP32"),
        ([{**ROW, "age": [22]}], "data[0]: age must be a number or null, not a list"),
        (
            columns(ROW, {**ROW, "性別": None, "fare paid": "x"}),
            "data: fare paid[1] must be a number, not a string; 性別[1] must be a string, not null",
        ),
        (
            {**columns(ROW, ROW), "age": [1]},
            "data: fare paid has 2 values, but age has 1: all columns need one for each row",
        ),
        ({"age": [1], "x": [1]}, f"data: missing fare paid, 性別, class, alone; unknown x {EXTRA}"),
        ({**columns(ROW), "age": 1}, "data: age must be a list of the values of all rows"),
        (ROW, "data is one row: send it in a list, [{…}]"),
        ({"0": ROW, "1": ROW}, f"data is a table in another order: {ROWS_OR_COLUMNS}"),
        ({name: {"0": value} for name, value in ROW.items()}, f"data is a table in another order: {ROWS_OR_COLUMNS}"),
        ({"index": [0], "columns": list(ROW), "data": [list(ROW.values())]},
         f"data is a table in another order: {ROWS_OR_COLUMNS}"),
    ],
)  # fmt: skip
def test_each_mistake_has_its_sentence(data: Any, sentence: str) -> None:
    assert refused(data) == sentence


@settings(derandomize=True, deadline=None, max_examples=50)
@given(st.integers(1, 40), st.data())
def test_the_first_wrong_row_is_told_wherever_it_is(count: int, data: st.DataObject) -> None:
    number = data.draw(st.integers(0, count - 1))
    wrong = data.draw(st.sampled_from([{**ROW, "class": 2.5}, {**ROW, "more": 1}, {**ROW, "age": "x"}]))
    rows = [wrong if place >= number else ROW for place in range(count)]
    assert refused(rows).startswith(f"data[{number}]: ")


@pytest.mark.parametrize("specs", [PEOPLE, PEOPLE[:1], PEOPLE[2:3], PEOPLE[3:4]])
def test_a_table_split_into_columns_and_data_is_not_taken_for_rows_by_position(specs: tuple[TensorSpec, ...]) -> None:
    split = {"index": [0], "columns": ["class"], "data": [[ROW[spec.name] for spec in specs]]}
    with pytest.raises(InvalidInput) as caught:
        reader_for(specs, 1000)(json.dumps(split).encode())
    assert str(caught.value) == f"the body has columns beside data: {ROWS_OR_COLUMNS}"


def test_nan_as_python_writes_it_is_told_to_be_null() -> None:
    assert refused([{**ROW, "age": float("nan")}]).endswith("which has no NaN; send null for a missing value")


def test_inputs_of_several_columns_are_lists_or_their_columns_by_name() -> None:
    image, meta = [[1, 2], [3, 4]], [1, 2, 3.0]
    expected = {"image": [image], "meta": [meta], "named": [[5, 6]]}
    assert read([{"image": image, "meta": meta, "a": 5, "b": 6}], WIDE) == expected
    assert read([{"image": image, "meta": meta, "named": [5, 6]}], WIDE) == expected
    assert read({"image": [image], "meta": [meta], "a": [5], "b": [6]}, WIDE) == expected
    assert read({"image": [image], "meta": [meta], "named": [[5, 6]]}, WIDE) == expected
    assert refused([{"image": [[1, 2], [3]], "meta": [1, 2], "named": [1, "2"]}], WIDE) == (
        "data[0]: image has lists of different lengths; meta has a cell of shape [2], expected [3]; "
        "named[1] must be a number, not a string"
    )
    assert refused([{"image": [[1, 2], [3, None]], "meta": [1, 2, 300], "a": 1, "b": 2}], WIDE) == (
        "data[0]: image[1][1] must be a number, not null; meta holds a number that does not fit INT8"
    )
    assert refused([[1, 2, 3, 4]], WIDE) == "send rows by name: this model's inputs are image, meta, a, b"


def test_columns_of_the_same_name_are_told_apart_by_their_inputs() -> None:
    specs = tuple(TensorSpec(name, "FP32", (-1, 2), fields=("a", "b")) for name in ("left", "right"))
    assert read([{"left": [1, 2], "right": [3, 4]}], specs) == {"left": [[1, 2]], "right": [[3, 4]]}
    assert refused([{"a": 1, "b": 2}], specs).startswith("data[0]: missing left, right; unknown a, b")


def test_an_input_without_rows_is_whole_among_columns() -> None:
    specs = (TensorSpec("x", "FP32", (-1, 2)), TensorSpec("k", "INT64", ()), TensorSpec("w", "FP32", (3,)))
    expected = {"x": [[1, 2], [3, 4]], "k": 7, "w": [1, 2, 3]}
    assert read({"x": [[1, 2], [3, 4]], "k": 7, "w": [1, 2, 3]}, specs) == expected
    assert refused([{"x": [1, 2], "k": 7, "w": 1}], specs) == "w has the shape [1], expected [3]"


def test_extra_columns_are_dropped_where_the_setting_says_so() -> None:
    rows = [{**ROW, "more": 1}, {**ROW, "other": [2]}]
    tables: list[Any] = [rows, {**columns(ROW, ROW), "more": [1]}]
    for data in tables:
        assert read(data, ignore_extra=True) == READ
    with pytest.raises(InvalidInput, match="missing age"):
        read([{"more": 1}], ignore_extra=True)
    one = TensorSpec("x", "FP32", (-1, 2), fields=("a", "b"))
    decode = decoder_for(one, 1000, ignore_extra=True)
    for data in ([{"a": 1, "b": 2, "c": "x"}], {"a": [1], "b": [2], "c": ["x"]}):
        assert decode(body(data)).tolist() == [[1, 2]]


def test_more_values_than_the_limit_are_too_large() -> None:
    for data in ([ROW] * 201, columns(*[ROW] * 201)):
        with pytest.raises(TooLarge):
            reader_for(PEOPLE, 1000)(body(data))
    with pytest.raises(TooLarge):
        reader_for(WIDE[:2], 10)(body([{"image": [[1, 2], [3, 4]], "meta": [1, 2, 3]}] * 3))


# ---- one input by name ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("datatype", "row"), [("FP32", [1.5, 2]), ("INT64", [1, 2]), ("BYTES", ["m", "tokyo"]),
                                               ("BOOL", [True, False])])  # fmt: skip
def test_named_columns_of_one_input_may_come_by_name_in_every_datatype(datatype: str, row: list[Any]) -> None:
    decode = decoder_for(TensorSpec("x", datatype, (-1, 2), fields=("a", "b")), 1000)
    expected = decode(body([row, row])).tolist()
    named = dict(zip("ba", reversed(row), strict=True))
    assert decode(body([named, named])).tolist() == expected
    assert decode(body(columns(named, named))).tolist() == expected
    with pytest.raises(InvalidInput, match="missing b; unknown c"):
        decode(body([{"a": row[0], "c": 1}]))


def test_a_single_column_has_the_name_of_its_input() -> None:
    for shape in ((-1,), (-1, 1)):
        decode = decoder_for(TensorSpec("word", "BYTES", shape), 1000)
        assert decode(body([{"word": "a"}])).tolist() == decode(body("a")).tolist() == decode(body(["a"])).tolist()
        assert decode(body({"word": ["a", "b"]})).shape[0] == 2
    with pytest.raises(InvalidInput, match="have no names"):
        decoder_for(TensorSpec("words", "BYTES", (-1, 2)), 1000)(body([{"words": ["a", "b"]}]))


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ("m", "data must be a list, not a string"),
        (["m", "f"], "data[0] must be a list, not a string"),
        ([["m"]], "data has the shape [1, 1], expected [-1, 2]"),
        ([["m", "tokyo"], ["f"]], "data has lists of different lengths"),
        ([["m", 1]], "data[0][1] (city) must be a string, not an integer"),
        ([["m", None]], "data[0][1] (city) must be a string, not null"),
        ([], "data must hold at least one string"),
        ([{"sex": "m", "city": 1}], "data[0]: city must be a string, not an integer"),
    ],
)
def test_columns_of_strings_are_columns_of_strings(data: Any, sentence: str) -> None:
    spec = TensorSpec("c", "BYTES", (-1, 2), fields=("sex", "city"))
    assert read([["m", "tokyo"], ["f", "osaka"]], (spec,)) == {"c": [[b"m", b"tokyo"], [b"f", b"osaka"]]}
    assert refused(data, (spec,)) == sentence


# ---- over HTTP -----------------------------------------------------------------------------------------------------


def people(seen: list[Mapping[str, Array]]) -> PythonModel:
    def predict(_: None, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        seen.append(inputs)
        return {"scores": np.stack([inputs["alone"], ~inputs["alone"]], axis=1).astype(np.float32)}

    sample = {"age": np.array([[np.nan]], np.float32), "fare paid": np.array([[7.3]]), "alone": np.array([True]),
              "性別": np.array([[b"m"]], object), "class": np.array([[3]])}  # fmt: skip
    return PythonModel(lambda: None, predict, inputs=PEOPLE, outputs=[TensorSpec("scores", "FP32", (-1, 2))],
                       labels=("alone", "together"), sample=sample, max_batch_size=2, name="people")  # fmt: skip


def test_every_row_is_answered_and_the_sample_can_be_sent() -> None:
    async def main() -> None:
        seen: list[Mapping[str, Array]] = []
        async with client(people(seen)) as http:
            for data in ([ROW, {**ROW, "alone": False}], columns(ROW, {**ROW, "alone": False})):
                assert (await http.post("/predict", json={"data": data})).json() == {"prediction": [[1, 0], [0, 1]]}
                answer = await http.post("/predict/label", json={"data": data})
                assert answer.json() == {"prediction": ["alone", "together"]}
            assert not any(array.flags.writeable for inputs in seen for array in inputs.values())
            said = (await http.get("/metadata")).json()
            assert said["data_sample"] == [{"age": None, "fare paid": 7.3, "性別": "m", "class": 3, "alone": True}]
            assert said["data_type"] == {
                "age": "float32", "fare paid": "float64", "性別": "str", "class": "int64", "alone": "bool"
            }  # fmt: skip
            assert said["data_structure"]["alone"] == "(1)"
            again = await http.post("/predict", json={"data": said["data_sample"]})
            assert again.json() == (await http.get("/predict/test")).json() == {"prediction": [1, 0]}
            for path in ("/predict/test/label", "/docs", "/openapi.json"):
                assert (await http.get(path)).status_code == 200
            many = await http.post("/predict", json={"data": [ROW] * 3})
            assert (many.status_code, "at most 2 in one request" in many.json()["error"]) == (400, True)

    asyncio.run(main())


@pytest.mark.parametrize(("setting", "status"), [("refuse", 400), ("ignore", 200)])
def test_the_setting_says_whether_extra_columns_are_dropped(setting: Any, status: int) -> None:
    async def main() -> None:
        async with client(people([]), settings=Settings(extra_columns=setting)) as http:
            answer = await http.post("/predict", json={"data": [{**ROW, "more": 1}]})
            assert answer.status_code == status
            assert (status == 200) or "--extra-columns ignore" in answer.json()["error"]

    asyncio.run(main())


# ---- what may be left out ------------------------------------------------------------------------------------------


class Spec(TensorSpec, frozen=True):
    """An input that may be left out, or of which some columns alone may miss values."""

    missing_fields: tuple[str, ...] = ()
    optional: bool = False


X = TensorSpec("x", "FP32", (-1, 2))
SCALE = Spec("scale", "FP32", (1,), optional=True)


def test_an_input_with_a_value_of_its_own_may_be_left_out_and_may_be_sent() -> None:
    reads = reader_for((X, SCALE), 1000)
    without: list[Any] = [[[1, 2]], [{"x": [1, 2]}], {"x": [[1, 2]]}]
    for data in without:
        assert {name: array.tolist() for name, array in reads(body(data)).items()} == {"x": [[1, 2]]}
    both: list[Any] = [[{"x": [1, 2], "scale": 3}], {"x": [[1, 2]], "scale": [3]}]
    for data in both:
        assert {name: array.tolist() for name, array in reads(body(data)).items()} == {"x": [[1, 2]], "scale": [3]}
    assert reader_for((X, SCALE), 1000, ignore_extra=True)(body([{"x": [1, 2], "scale": 3}]))["scale"].tolist() == [3]
    assert refused([{"x": [1, 2]}, {"x": [1, 2], "scale": 3}], (X, SCALE)).startswith("data[1]: unknown scale")
    assert refused([[1]], (X, SCALE)) == "data[0] has 1 values, expected 2"
    with pytest.raises(InvalidInput, match="not valid JSON"):
        reads(b"{")


def test_by_position_what_may_be_left_out_is_there_or_not() -> None:
    specs = (TensorSpec("a", "FP32", (-1,)), TensorSpec("b", "FP32", (-1,)), Spec("c", "FP32", (-1,), optional=True))
    assert set(reader_for(specs, 1000)(body([[1, 2]]))) == {"a", "b"}
    assert set(reader_for(specs, 1000)(body([[1, 2, 3]]))) == {"a", "b", "c"}
    assert refused([[1]], specs) == "data[0] has 1 values, expected 2 (a, b)"


def test_null_is_accepted_in_the_columns_that_may_miss_a_value_and_in_no_other() -> None:
    spec = Spec("x", "FP32", (-1, 2), fields=("a", "b"), missing=True, missing_fields=("a",))
    for data in ([[None, 2]], [{"a": None, "b": 2}], {"a": [None], "b": [2]}):
        np.testing.assert_array_equal(read(data, (spec,))["x"], [[np.nan, 2]])
    allow = ALLOW.format("b")
    assert refused([[1, 2], [1, None]], (spec,)) == f"data[1][1] (b) must be a number, not null {allow}"
    assert refused([{"a": None, "b": None}], (spec,)) == f"data[0]: b must be a number, not null {allow}"
    assert refused({"a": [None], "b": [None]}, (spec,)) == f"data: b[0] must be a number, not null {allow}"

    async def main() -> None:
        model = PythonModel(lambda: None, lambda _, inputs: {"y": np.nan_to_num(inputs["x"])}, inputs=[spec],
                            outputs=[TensorSpec("y", "FP32", (-1, 2))], name="m")  # fmt: skip
        async with client(model) as http:
            for data, status in (([None, 2], 200), ([[None, 2]], 200), ([1, None], 400)):
                tensor = {"name": "x", "datatype": "FP32", "shape": [1, 2], "data": data}
                answer = await http.post("/v2/models/m/infer", json={"inputs": [tensor]})
                assert answer.status_code == status
            assert answer.json() == {"error": f"input 'x': 'b' of row 0 must be a number, not null {allow}"}

    asyncio.run(main())
