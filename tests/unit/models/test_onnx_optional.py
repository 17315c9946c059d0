"""An input that has a value of its own may be left out, and may be sent."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto as T
from onnx import helper

from mlpatterns.models.onnx.onnx import OnnxModel
from mlpatterns.pieces.batcher.batcher import Batcher
from mlpatterns.runtime import running
from mlpatterns.testing import client, request
from onnx_graphs import floats, made
from unit.models.described import metadata_of, saved


def scaled(size: int = 1, count: int = 1) -> bytes:
    """`x` times each of `count` scales, which are 2 unless they are sent."""
    names = [f"scale{place}" for place in range(count)]
    nodes = [helper.make_node("Mul", [before, name], [f"after_{name}"])
             for before, name in zip(["x", *(f"after_{name}" for name in names)], names, strict=False)]  # fmt: skip
    nodes.append(helper.make_node("Identity", [f"after_{names[-1]}"], ["y"]))
    sides = {"x": floats("n", size), **{name: floats(size) for name in names}}
    defaults = [helper.make_tensor(name, T.FLOAT, [size], [2.0] * size) for name in names]
    return made(nodes, sides, {"y": floats("n", size)}, *defaults)


def test_it_is_described_as_optional_and_has_no_part_in_the_sample(tmp_path: Path) -> None:
    found = metadata_of(saved(tmp_path, scaled()))
    assert [(spec.name, spec.optional) for spec in found.inputs] == [("x", False), ("scale0", True)]
    assert found.sample is not None
    assert list(found.sample) == ["x"]


@pytest.mark.parametrize("content", [scaled(2000), scaled(count=17)], ids=["large", "many"])
def test_weights_that_an_exporter_lists_as_inputs_are_none(tmp_path: Path, content: bytes) -> None:
    assert [spec.name for spec in metadata_of(saved(tmp_path, content)).inputs] == ["x"]


def test_over_the_open_inference_protocol_it_may_be_sent(tmp_path: Path) -> None:
    reference = saved(tmp_path, scaled())

    def body(**values: float) -> dict[str, Any]:
        shapes = {"x": [1, 1], "scale0": [1]}
        return {"inputs": [{"name": name, "datatype": "FP32", "shape": shapes[name], "data": [value]}
                           for name, value in values.items()]}  # fmt: skip

    async def main() -> None:
        async with client(lambda: OnnxModel(reference)) as http:
            described = (await http.get("/v2/models/model")).json()["inputs"]
            assert [one.get("parameters") for one in described] == [None, {"optional": True}]
            for sent, expected in ((body(x=3), 6), (body(x=3, scale0=10), 30)):
                answer = (await http.post("/v2/models/model/infer", json=sent)).json()
                assert answer["outputs"][0]["data"] == [expected]
            refused = await http.post("/v2/models/model/infer", json=body(scale0=10))
            assert (refused.status_code, refused.json()) == (400, {"error": "missing input 'x'"})

    asyncio.run(main())


def test_in_batches_a_request_that_sends_it_goes_alone(tmp_path: Path) -> None:
    reference = saved(tmp_path, scaled())

    async def main() -> list[float]:
        batcher = Batcher(OnnxModel(reference), max_batch_size=4)
        rows = [{"x": np.full((1, 1), value, np.float32)} for value in range(6)]
        for place in (1, 4):
            rows[place]["scale0"] = np.array([10], np.float32)
        async with running(batcher):
            answers = await asyncio.gather(*(batcher.predict(request(inputs)) for inputs in rows))
        return [answer.outputs["y"].item() for answer in answers]

    assert asyncio.run(main()) == [0, 10, 4, 6, 40, 10]
