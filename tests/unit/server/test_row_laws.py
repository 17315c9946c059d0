"""Laws of rows, for any model: its sample can be sent as it is shown, and whatever is sent is read or refused."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from openapi_schema_validator import OAS31Validator

from mlpatterns.errors import PredictionError
from mlpatterns.metadata import DTYPES, Array, ModelMetadata, TensorSpec
from mlpatterns.oip.raw_tensors import bytes_tensor
from mlpatterns.server.pages.openapi_rows import row_examples, rows
from mlpatterns.server.rows import data_of, reader_for

NAMES = st.text(min_size=1, max_size=8)
COUNTS = st.integers(1, 3)


@st.composite
def specs(draw: st.DrawFn) -> tuple[TensorSpec, ...]:
    """The inputs of a model: any datatypes and ranks, some with column names, which may be those of others."""
    names = draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    return tuple(draw(spec_of(name)) for name in names)


@st.composite
def spec_of(draw: st.DrawFn, name: str) -> TensorSpec:
    datatype = draw(st.sampled_from(sorted(DTYPES)))
    inner = draw(st.lists(st.integers(1, 3) | st.just(-1), max_size=2))
    shape = () if draw(st.integers(0, 9)) == 0 else (draw(st.sampled_from([-1, -1, -1, 1, 2])), *inner)
    named = len(shape) == 2 and shape[1] > 0 and draw(st.booleans())
    fields = tuple(draw(st.lists(NAMES, min_size=shape[1], max_size=shape[1], unique=True))) if named else ()
    content: Any = draw(st.sampled_from(["tensor", "key", "text", "image"])) if datatype == "BYTES" else "tensor"
    return TensorSpec(name, datatype, shape, content, fields, datatype.startswith("FP") and draw(st.booleans()))


@st.composite
def models(draw: st.DrawFn) -> tuple[tuple[TensorSpec, ...], dict[str, Array]]:
    """Inputs and a sample of them."""
    inputs, count = draw(specs()), draw(COUNTS)
    return inputs, {spec.name: draw(sample_of(spec, count)) for spec in inputs}


@st.composite
def sample_of(draw: st.DrawFn, spec: TensorSpec, count: int) -> Array:
    sizes = [draw(COUNTS) if size < 0 else size for size in spec.shape]
    shape = [count, *sizes[1:]] if spec.shape[:1] == (-1,) else sizes
    size = math.prod(shape)
    values = draw(st.lists(elements(spec), min_size=size, max_size=size))
    if spec.datatype == "BYTES":
        return bytes_tensor(values).reshape(shape)
    return np.array(values, DTYPES[spec.datatype]).reshape(shape)


def elements(spec: TensorSpec) -> st.SearchStrategy[Any]:
    dtype = DTYPES[spec.datatype]
    if dtype.kind == "f":
        width: Any = dtype.itemsize * 8
        return st.floats(width=width, allow_infinity=False, allow_nan=spec.missing)
    if dtype.kind == "b":
        return st.booleans()
    if dtype.kind == "O":
        return st.binary(max_size=5) if spec.content == "image" else st.text(max_size=5).map(str.encode)
    bounds = np.iinfo(dtype)
    return st.integers(int(bounds.min), int(bounds.max))


@settings(derandomize=True, deadline=None, max_examples=100)
@given(models())
def test_the_sample_of_every_model_can_be_sent_as_it_is_shown(
    made: tuple[tuple[TensorSpec, ...], dict[str, Array]],
) -> None:
    inputs, sample = made
    body = json.dumps({"data": data_of(inputs, sample)}).encode()
    found = reader_for(inputs, 10_000)(body)
    assert set(found) == set(sample)
    for name, array in sample.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert found[name].tolist() == array.tolist() or np.array_equal(found[name], array, equal_nan=True)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(models())
def test_every_example_of_the_documents_is_read_and_fits_its_schema(
    made: tuple[tuple[TensorSpec, ...], dict[str, Array]],
) -> None:
    inputs, sample = made
    schema = rows(inputs)
    described = ModelMetadata("m", "1", "test", inputs, (), "y", sample=sample)
    for example in row_examples(described).values():
        found = reader_for(inputs, 10_000)(json.dumps(example).encode())
        for name, array in sample.items():
            assert found[name].tolist() == array.tolist() or np.array_equal(found[name], array, equal_nan=True)
        OAS31Validator(schema).validate(example)


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=4),
    max_leaves=20,
)
TABLE = (
    TensorSpec("a", "FP16", (-1, 1), missing=True),
    TensorSpec("b", "INT8", (-1,)),
    TensorSpec("c", "BYTES", (-1, 1)),
    TensorSpec("d", "BOOL", (-1, 2)),
)
CELLS = st.none() | st.booleans() | st.integers(-200, 200) | st.floats() | st.text(max_size=3) | st.just([True, False])
CELL = {"a": st.floats() | st.none(), "b": st.integers(-200, 200) | st.just(3.0), "c": st.text(max_size=3),
        "d": st.lists(st.booleans(), min_size=2, max_size=2)}  # fmt: skip
ROW = st.fixed_dictionaries({name: right | CELLS for name, right in CELL.items()}) | st.dictionaries(
    st.sampled_from("abcdx"), CELLS
)
COLUMNS = st.fixed_dictionaries({name: st.lists(right | CELLS, max_size=3) for name, right in CELL.items()})
SENT = st.lists(ROW, max_size=3) | COLUMNS | st.lists(st.lists(CELLS, max_size=5), max_size=3) | ANY


@settings(derandomize=True, deadline=None, max_examples=150)
@given(specs() | st.just(TABLE) | st.just(TABLE), SENT)
def test_whatever_is_sent_is_read_as_declared_or_refused_with_a_code(inputs: tuple[TensorSpec, ...], data: Any) -> None:
    for ignore in (False, True):
        try:
            found = reader_for(inputs, 50, ignore_extra=ignore)(json.dumps({"data": data}).encode())
        except PredictionError:
            continue
        for spec in inputs:
            array = found[spec.name]
            assert array.dtype == DTYPES[spec.datatype]
            assert len(array.shape) == len(spec.shape)
            assert all(wanted in (-1, size) for wanted, size in zip(spec.shape, array.shape, strict=True))
            assert array.dtype.kind != "f" or np.isfinite(array).all() or (spec.missing and not np.isinf(array).any())
        rows_each = {found[spec.name].shape[0] for spec in inputs if spec.shape[:1] == (-1,)}
        assert len(rows_each) <= 1
