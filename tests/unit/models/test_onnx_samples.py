"""Every model that runs has a sample: found by trying, or given, by arrays or by a file."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto as T
from onnx import helper

from mlpatterns.models.onnx.onnx import OnnxModel
from mlpatterns.testing import client
from mlpatterns.user_errors import UserError
from onnx_graphs import floats, made
from unit.models.described import metadata_of, saved


def ones(name: str, *shape: int) -> Any:
    return helper.make_tensor(name, T.FLOAT, shape, np.ones(shape, np.float32).ravel())


def convolution(*shape: Any, channels: int = 1, kernel: int = 3) -> bytes:
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"]), helper.make_node("GlobalAveragePool", ["c"], ["g"]),
             helper.make_node("Flatten", ["g"], ["y"])]  # fmt: skip
    return made(nodes, {"x": floats(*shape)}, {"y": floats("n", 2)}, ones("w", 2, channels, kernel, kernel))


def reshaped(width: int, rank: int | None = 2) -> bytes:
    """Whatever comes must have so many elements a row; no constant of the graph says so to who does not run it."""
    to = helper.make_tensor("to", T.INT64, [2], [-1, width])
    nodes = [helper.make_node("Softplus", ["x"], ["p"]), helper.make_node("Reshape", ["p", "to"], ["r"]),
             helper.make_node("MatMul", ["r", "w"], ["y"])]  # fmt: skip
    shape = None if rank is None else ["n", *["m"] * (rank - 1)]
    return made(nodes, {"x": (T.FLOAT, shape)}, {"y": floats(None, 1)}, to, ones("w", width, 1))


def sums(sizes: dict[str, int]) -> bytes:
    """Inputs of free widths that must be of these sizes, which no constant tells."""
    nodes, constants, parts = [], [], []
    for name, size in sizes.items():
        nodes += [helper.make_node("Softplus", [name], [f"{name}_p"]),
                  helper.make_node("MatMul", [f"{name}_p", f"{name}_w"], [f"{name}_y"])]  # fmt: skip
        constants.append(ones(f"{name}_w", size, 1))
        parts.append(f"{name}_y")
    nodes.append(helper.make_node("Sum", parts, ["y"]))
    return made(nodes, {name: floats("n", f"{name}_m") for name in sizes}, {"y": floats("n", 1)}, *constants)


LOGARITHM = made([helper.make_node("Log", ["x"], ["y"])], {"x": floats("n", 2)}, {"y": floats("n", 2)})


@pytest.mark.parametrize(
    ("content", "shapes"),
    [
        (convolution("batch", 1, "h", "w"), {"x": (1, 1, 3, 3)}),
        (convolution("batch", 1, None, None, kernel=5), {"x": (1, 1, 5, 5)}),
        (convolution("b", "c", "h", "w", channels=3, kernel=5), {"x": (1, 3, 8, 8)}),
        (convolution(1, 1, "h", "w"), {"x": (1, 1, 3, 3)}),
        (reshaped(7), {"x": (1, 7)}),
        (reshaped(7, rank=None), {"x": (1, 7)}),
        (sums({"a": 3, "b": 8}), {"a": (1, 3), "b": (1, 8)}),
        (made([helper.make_node("Add", ["x", "x"], ["y"])], {"x": floats()}, {"y": floats()}), {"x": ()}),
        (made([helper.make_node("Add", ["x", "x"], ["y"])], {"x": floats("n")}, {"y": floats("n")}), {"x": (1,)}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_free_axes_have_the_smallest_size_that_the_model_runs(
    tmp_path: Path, content: bytes, shapes: dict[str, tuple[int, ...]]
) -> None:
    reference = saved(tmp_path, content)
    sample = metadata_of(reference).sample
    assert sample is not None
    assert {name: value.shape for name, value in sample.items()} == shapes
    simple = ["/metadata", "/predict/test"] if len(shapes) == 1 else []
    paths = ["/docs", "/openapi.json", "/v2/models/model", *simple]

    async def main() -> None:
        async with client(lambda: OnnxModel(reference)) as http:
            for path in paths:
                answer = await http.get(path)
                assert answer.status_code == 200, (path, answer.text)

    asyncio.run(main())


def test_where_zeros_give_no_number_ones_are_the_sample(tmp_path: Path) -> None:
    sample = metadata_of(saved(tmp_path, LOGARITHM)).sample
    assert sample is not None
    assert sample["x"].tolist() == [[1, 1]]


def test_a_model_that_runs_nothing_that_was_tried_is_served_without_a_sample(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    reference = saved(tmp_path, reshaped(7919))

    async def main() -> None:
        async with client(lambda: OnnxModel(reference)) as http:
            for path in ("/docs", "/openapi.json", "/v2/models/model"):
                assert (await http.get(path)).status_code == 200, path
            answer = await http.post("/predict", json={"data": [[0.0] * 7919]})
            assert answer.status_code == 200

    asyncio.run(main())
    assert metadata_of(reference).sample is None
    assert "has no sample; give it rows with --sample" in caplog.text


# ---- given ---------------------------------------------------------------------------------------------------------

PEOPLE = made(
    [helper.make_node("Identity", ["age"], ["y"]), helper.make_node("Identity", ["sex"], ["z"]),
     helper.make_node("Identity", ["kin"], ["k"])],
    {"age": floats("n", 1), "sex": (T.STRING, ["n", 1]), "kin": (T.INT64, ["n"])},
    {"y": floats("n", 1), "z": (T.STRING, ["n", 1]), "k": (T.INT64, ["n"])},
)  # fmt: skip
MATRIX = made([helper.make_node("Identity", ["x"], ["y"])], {"x": floats("n", 2)}, {"y": floats("n", 2)})


def written(name: str, text: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(text.encode())
        return folder / name

    return write


def test_a_table_gives_rows_by_the_names_of_columns_or_in_order(tmp_path: Path) -> None:
    reference = saved(tmp_path, MATRIX)
    for text, options in (
        ("1.5,2\n3,4\n", {}),
        ("whatever,else\r\n1.5,2\r\n", {}),
        ("\ufeffb,lived,a\n2,1,1.5\n", {"columns": ["a", "b"]}),
    ):
        found = metadata_of(reference, sample=written("rows.csv", text)(tmp_path), **options)
        assert found.sample is not None
        assert found.sample["x"].tolist() == [[1.5, 2]]


def test_inputs_of_several_types_come_from_a_table_an_npz_or_arrays(tmp_path: Path) -> None:
    reference = saved(tmp_path, PEOPLE)
    arrays: dict[str, Any] = {
        "age": np.array([[22.5], [1]]),
        "sex": np.array([["m"], ["f"]]),
        "kin": np.array([3, 4], np.int32),
    }
    np.savez(tmp_path / "rows.npz", **arrays)
    table = written("rows.csv", "sex,kin,age\nm,3,22.5\nf,4,1\n")(tmp_path)
    for sample in (table, tmp_path / "rows.npz", arrays):
        found = metadata_of(reference, sample=sample).sample
        assert found is not None
        assert {name: (value.tolist(), str(value.dtype)) for name, value in found.items()} == {
            "age": ([[22.5]], "float32"), "sex": ([[b"m"]], "object"), "kin": ([3], "int64"),
        }  # fmt: skip


def test_a_sample_says_how_large_free_axes_are(tmp_path: Path) -> None:
    rows = {"x": np.zeros((2, 7919))}
    found = metadata_of(saved(tmp_path, reshaped(7919)), sample=rows).sample
    assert found is not None
    assert found["x"].shape == (1, 7919)


@pytest.mark.parametrize(
    ("sample", "said"),
    [
        (written("rows.txt", "1,2"), "neither .csv nor .npz"),
        (written("rows.csv", ""), "is empty"),
        (written("rows.npz", "1,2"), "not an NPZ file"),
        (written("rows.csv", "1,2,3\n"), "has 3 columns, and the model takes 2"),
        (written("rows.csv", "a,b\n1,x\n"), "'x'"),
        (written("rows.csv", "1,\n"), "the sample rows.csv lacks a value of x; name it in --missing"),
        (lambda folder: folder / "absent.csv", "cannot be read"),
        (lambda _: {"x": np.zeros((1, 3))}, r"the sample is not what the model takes: input 'x' has shape \[1, 3\]"),
        (lambda _: {"z": np.zeros((1, 2))}, "the sample is not what the model takes: there is no input 'z'"),
        (lambda _: {"x": np.array([["a", "b"]])}, "the sample has no numbers for 'x'"),
    ],
)
def test_a_sample_that_does_not_fit_is_one_sentence(tmp_path: Path, sample: Callable[[Path], Any], said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        metadata_of(saved(tmp_path, MATRIX), sample=sample(tmp_path))
    assert "\n" not in str(caught.value)


def test_a_sample_that_the_model_refuses_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the model refuses the sample"):
        metadata_of(saved(tmp_path, reshaped(7)), sample={"x": np.zeros((1, 5))})


def test_a_missing_value_is_one_where_it_is_allowed(tmp_path: Path) -> None:
    reference, table = saved(tmp_path, MATRIX), written("rows.csv", "1,\n")(tmp_path)
    found = metadata_of(reference, columns=["a", "b"], missing=["b"], sample=table).sample
    assert found is not None
    assert np.isnan(found["x"]).tolist() == [[False, True]]
    with pytest.raises(UserError, match="lacks a value of b; name it in --missing"):
        metadata_of(reference, columns=["a", "b"], missing=["a"], sample=table)
