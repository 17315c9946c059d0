"""ModelKeys of questions: equal for equal questions, different for all others."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from core import runtime_of
from mlpatterns.context import Context, Note
from mlpatterns.pieces.cache.keys import HASHED_ON_LOOP, ModelKeys, RequestKeys, Unkeyable
from mlpatterns.predictor import InferenceRequest
from mlpatterns.runtime import running
from mlpatterns.settings import Settings
from mlpatterns.testing import CountingModel, request

KEYS = ModelKeys("identity", "model", "1")


def key(inputs: Mapping[str, Any], **fields: Any) -> str:
    return KEYS.key(request(inputs, **fields))


def texts(*values: bytes) -> np.ndarray:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


DTYPES = st.sampled_from([np.dtype(name) for name in ("f4", "f8", "f2", "i1", "i8", "u2", "?")])
ARRAYS = hnp.arrays(DTYPES, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
TEXTS = st.lists(st.binary(max_size=4), max_size=4).map(lambda values: texts(*values))
INPUTS = st.dictionaries(st.text(max_size=3), ARRAYS | TEXTS, min_size=1, max_size=3)


def canonical(inputs: Mapping[str, np.ndarray]) -> object:
    """What decides whether two questions are equal, written another way."""
    return {
        name: (v.dtype.str, v.shape, v.tolist() if v.dtype == object else v.tobytes()) for name, v in inputs.items()
    }


@given(INPUTS, INPUTS)
def test_keys_are_equal_exactly_where_questions_are(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert (key(one) == key(other)) == (canonical(one) == canonical(other))


@given(ARRAYS)
def test_how_an_array_lies_in_memory_makes_no_difference(array: np.ndarray) -> None:
    turned = np.array(array, order="F")
    swapped = array.astype(array.dtype.newbyteorder(">"))
    strided = np.repeat(array[None], 2, axis=0)[0, ...]
    assert key({"x": array}) == key({"x": turned}) == key({"x": swapped}) == key({"x": strided})


@given(INPUTS)
def test_the_order_of_the_inputs_makes_no_difference(inputs: dict[str, np.ndarray]) -> None:
    assert key(inputs) == key(dict(reversed(list(inputs.items()))))


@given(ARRAYS, ARRAYS)
def test_a_large_array_is_named_as_a_small_one(array: np.ndarray, other: np.ndarray) -> None:
    assume(array.size and other.size and array.tobytes() != other.tobytes())
    large = np.tile(array.ravel(), 10_000)
    assert key({"x": large}) == key({"x": large.copy()})
    assert key({"x": large}) != key({"x": large[:-1]})


def test_texts_are_framed() -> None:
    different = [texts(b"ab", b"c"), texts(b"a", b"bc"), texts(b"abc"), texts(b"abc", b""), texts(b"", b"abc"), texts()]
    assert len({key({"x": value}) for value in different}) == len(different)


def test_names_dtypes_and_shapes_cannot_be_read_as_one_another() -> None:
    x = np.zeros(4, np.float32)
    different: list[dict[str, Any]] = [
        {"x": x},
        {"x": x.reshape(2, 2)},
        {"x": x.view(np.int32)},
        {"x": x.view(np.float64)},
        {"x'<f4(4,)": x},
        {"x": x, "y": x},
        {"y": x, "x": x.reshape(4, 1)},
        {"\ud800": x},
    ]
    assert len({key(inputs) for inputs in different}) == len(different)


def test_numbers_count_by_their_bytes() -> None:
    def of(bits: int) -> str:
        return key({"x": np.array([bits], np.uint32).view(np.float32)})

    assert key({"x": np.array([0.0], np.float32)}) != key({"x": np.array([-0.0], np.float32)})
    assert of(0x7FC00000) == of(0x7FC00000)  # a NaN is asked for again like any other number
    assert of(0x7FC00000) != of(0x7FC00001)


def test_parameters_and_outputs_asked_for_count_and_the_order_of_parameters_does_not() -> None:
    x = {"x": np.zeros(1, np.float32)}
    different: list[dict[str, Any]] = [
        {},
        {"parameters": {"a": 1}},
        {"parameters": {"a": 1.0}},
        {"parameters": {"a": True}},
        {"parameters": {"a": "1"}},
        {"parameters": {"a": None}},
        {"parameters": {"a": float("nan")}},
        {"parameters": {"a": -0.0}},
        {"parameters": {"a": 0.0}},
        {"parameters": {"a": 1, "b": 2}},
        {"outputs": ("a",)},
        {"outputs": ("a", "b")},
        {"outputs": ("ab",)},
    ]
    assert len({key(x, **fields) for fields in different}) == len(different)
    assert key(x, parameters={"a": 1, "b": 2}) == key(x, parameters={"b": 2, "a": 1})


def test_who_asks_how_it_is_called_and_how_much_time_there_is_make_no_difference() -> None:
    x = {"x": np.zeros(1, np.float32)}
    other = InferenceRequest(
        x, Context("p", {"user-id": "u"}, "me", notes=[Note("split", "arm", "a")]), id="i", deadline=5.0
    )
    assert KEYS.key(other) == key(x)


def test_each_model_has_keys_of_its_own() -> None:
    asked = request([[1.0]])
    models = [
        ModelKeys("a", "m", "1"),
        ModelKeys("b", "m", "1"),
        ModelKeys("a", "n", "1"),
        ModelKeys("a", "m", "2"),
        ModelKeys("am", "", "1"),
    ]
    assert len({model.key(asked) for model in models}) == len({model.namespace for model in models}) == 5
    assert all(model.key(asked).startswith(f"{model.namespace}:") for model in models)


@pytest.mark.parametrize(
    ("inputs", "parameters"),
    [
        ({"x": np.array(["text", b"bytes"], dtype=object)}, {}),
        ({"x": np.array([object()], dtype=object)}, {}),
        ({"x": np.zeros(1, np.dtype([("a", "f4")]))}, {}),
        ({"x": np.zeros(1)}, {"a": object()}),
        ({"x": np.zeros(1)}, {"a": 2**70}),
    ],
)
def test_what_has_no_bytes_of_its_own_has_no_key(inputs: dict[str, np.ndarray], parameters: dict[str, Any]) -> None:
    with pytest.raises(Unkeyable):
        key(inputs, parameters=parameters)


def test_large_questions_are_hashed_in_a_thread_and_named_as_on_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    model = CountingModel()

    async def main() -> None:
        async with running(model, settings=Settings()) as app:
            runtime = runtime_of(app)
            offloaded: list[object] = []
            offload = runtime.offload

            def counted(work: Any) -> Any:
                offloaded.append(work)
                return offload(work)

            monkeypatch.setattr(runtime, "offload", counted)
            keys_of = RequestKeys("PredictionCache", model, runtime)
            small, large = request(np.zeros((1, 4), np.float32)), request(np.zeros(HASHED_ON_LOOP, np.uint16))
            keys = keys_of.of_model()
            assert keys is not None
            for asked, times in ((small, 0), (large, 1)):
                named = await keys_of.key_of(asked)
                assert named == (keys.key(asked), model.identity())
                assert len(offloaded) == times

    asyncio.run(main())
