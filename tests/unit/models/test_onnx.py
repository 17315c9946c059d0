"""OnnxModel: what a graph says of itself, where a call runs, and one sentence for what cannot be loaded."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from msgspec.structs import replace
from onnx import TensorProto as T
from onnx import helper

from mlpatterns.errors import DeadlineExceeded, InvalidInput, NotStarted
from mlpatterns.metadata import ModelMetadata, TensorSpec
from mlpatterns.models.cost import Cost
from mlpatterns.models.onnx.onnx import OnnxModel
from mlpatterns.predictor import InferenceResponse
from mlpatterns.registry.files import dump_metadata, metadata_path
from mlpatterns.runtime import running
from mlpatterns.testing import request
from mlpatterns.user_errors import ModelFileError, SettingsError

Shape = list[Any]


def save(path: Path, nodes: list[Any], inputs: dict[str, tuple[int, Shape]], outputs: dict[str, tuple[int, Shape]],
         constants: list[Any] | None = None) -> str:  # fmt: skip
    infos = [
        [helper.make_tensor_value_info(n, kind, shape) for n, (kind, shape) in side.items()]
        for side in (inputs, outputs)
    ]
    graph = helper.make_graph(nodes, "g", infos[0], infos[1], initializer=constants or [])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return f"file:{path}"


@pytest.fixture
def doubling(tmp_path: Path) -> str:
    """`scores` is twice `rows`, and `first` is the number of the highest."""
    nodes = [helper.make_node("Add", ["rows", "rows"], ["scores"]),
             helper.make_node("ArgMax", ["scores"], ["first"], axis=1, keepdims=0)]  # fmt: skip
    return save(tmp_path / "doubling.onnx", nodes, {"rows": (T.FLOAT, ["n", 3])},
                {"first": (T.INT64, ["n"]), "scores": (T.FLOAT, ["n", 3])})  # fmt: skip


@pytest.fixture
def endless(tmp_path: Path) -> str:
    """A loop of matrix products that runs for minutes unless it is stopped."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["go_on"]), helper.make_node("MatMul", ["state", "state"], ["next"])],
        "body",
        [helper.make_tensor_value_info("i", T.INT64, []), helper.make_tensor_value_info("go", T.BOOL, []),
         helper.make_tensor_value_info("state", T.FLOAT, [64, 64])],
        [helper.make_tensor_value_info("go_on", T.BOOL, []), helper.make_tensor_value_info("next", T.FLOAT, [64, 64])],
    )  # fmt: skip
    constants = [helper.make_tensor("yes", T.BOOL, [], [True])]
    nodes = [helper.make_node("Loop", ["times", "yes", "start"], ["end"], body=body)]
    return save(tmp_path / "endless.onnx", nodes, {"times": (T.INT64, []), "start": (T.FLOAT, [64, 64])},
                {"end": (T.FLOAT, [64, 64])}, constants)  # fmt: skip


def asked(model: OnnxModel, rows: Any, **fields: Any) -> InferenceResponse:
    async def main() -> InferenceResponse:
        async with running(model):
            return await model.predict(request({"rows": np.asarray(rows, np.float32)}, **fields))

    return asyncio.run(main())


def test_labels_that_are_not_one_for_each_score_are_refused_at_its_start(doubling: str) -> None:
    with pytest.raises(SettingsError, match="the number of labels is 2, but the model's 'scores' has 3 scores a row"):
        asked(OnnxModel(doubling, labels=["a", "b"]), [[1, 2, 3]])


def test_a_bare_file_is_described_by_its_graph(doubling: str, tmp_path: Path) -> None:
    model = OnnxModel(doubling, labels=["a", "b", "c"])
    with pytest.raises(NotStarted):
        _ = model.metadata

    async def main() -> None:
        async with running(model):
            described = model.metadata
            assert (described.name, described.platform, described.primary_output) == (
                "doubling",
                "onnxruntime_onnx",
                "scores",
            )
            assert [(s.name, s.datatype, s.shape) for s in described.inputs] == [("rows", "FP32", (-1, 3))]
            assert [(s.name, s.datatype, s.shape) for s in described.outputs] == [
                ("first", "INT64", (-1,)),
                ("scores", "FP32", (-1, 3)),
            ]
            assert described.labels == ("a", "b", "c")
            assert described.sample is not None
            assert described.sample["rows"].shape == (1, 3)
            digest = hashlib.sha256((tmp_path / "doubling.onnx").read_bytes()).hexdigest()
            assert (model.identity(), described.version) == (digest, digest[:12])

    asyncio.run(main())


@pytest.mark.parametrize("run_on", ["loop", "thread", "auto"])
def test_it_answers_the_same_wherever_it_runs(doubling: str, run_on: Any) -> None:
    response = asked(OnnxModel(doubling, run_on=run_on, name="twice"), [[1, 2, 3]])
    assert response.outputs["scores"].tolist() == [[2, 4, 6]]
    assert response.outputs["first"].tolist() == [2]
    assert response.model_name == "twice"


def test_only_the_outputs_asked_for_are_computed_and_given(doubling: str) -> None:
    assert list(asked(OnnxModel(doubling), [[1, 2, 3]], outputs=("first",)).outputs) == ["first"]


def test_short_work_stays_on_the_loop_and_long_work_leaves_it(doubling: str) -> None:
    async def main() -> None:
        model = OnnxModel(doubling)
        async with running(model) as runtime:
            offloaded = []
            original = runtime._threads.run

            async def run(work: Callable[[], Any]) -> Any:
                offloaded.append(1)
                return await original(work)

            runtime._threads.run = run  # type: ignore[method-assign]
            rows = request({"rows": np.ones((4, 3), np.float32)})
            model._cost = Cost(call=20e-6)
            await model.predict(rows)
            assert not offloaded
            model._cost = Cost(call=1.0)
            await model.predict(rows)
            assert offloaded

    asyncio.run(main())


def test_inputs_that_the_model_refuses_are_bad_input(doubling: str) -> None:
    with pytest.raises(InvalidInput, match="check their names, shapes and datatypes"):
        asked(OnnxModel(doubling), [[1, 2]])


def test_sizes_of_free_axes_that_the_model_does_not_run_are_bad_input(tmp_path: Path) -> None:
    """They fail at a node inside, as a failure of the model does: a circuit breaker must not open for them."""
    nodes = [helper.make_node("Flatten", ["image"], ["flat"]), helper.make_node("MatMul", ["flat", "W"], ["scores"])]
    weights = helper.make_tensor("W", T.FLOAT, [4, 2], [1.0] * 8)
    reference = save(tmp_path / "flat.onnx", nodes, {"image": (T.FLOAT, ["n", "h", "w"])},
                     {"scores": (T.FLOAT, ["n", 2])}, [weights])  # fmt: skip
    said = (r"^the model does not run inputs of these sizes: 'image' has the shape \[1, 3, 3\], "
            r"and its sample \[1, 2, 2\]$")  # fmt: skip

    async def main() -> None:
        model = OnnxModel(reference)
        async with running(model):
            await model.predict(request({"image": np.ones((2, 2, 2), np.float32)}))
            with pytest.raises(InvalidInput, match=said):
                await model.predict(request({"image": np.ones((1, 3, 3), np.float32)}))

    asyncio.run(main())


@pytest.mark.slow
def test_a_cancelled_call_stops_inside_the_model(endless: str) -> None:
    async def main() -> None:
        model = OnnxModel(endless, run_on="thread")
        async with running(model):
            forever = {"times": np.array(10**9, np.int64), "start": np.eye(64, dtype=np.float32)}
            task = asyncio.ensure_future(model.predict(request(forever)))
            await asyncio.sleep(0.2)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task  # by itself it would take hours

    asyncio.run(main())


def test_a_call_whose_deadline_passed_while_it_waited_for_a_thread_does_not_begin(doubling: str) -> None:
    with pytest.raises(DeadlineExceeded):
        asked(OnnxModel(doubling, run_on="thread"), [[1, 2, 3]], deadline=time.monotonic() - 1)


def test_strings_travel_as_bytes(tmp_path: Path) -> None:
    nodes = [helper.make_node("Identity", ["text"], ["same"])]
    reference = save(tmp_path / "text.onnx", nodes, {"text": (T.STRING, ["n"])}, {"same": (T.STRING, ["n"])})

    async def main() -> list[bytes]:
        model = OnnxModel(reference)
        async with running(model):
            texts = np.array(["ä".encode(), b"b"], dtype=object)
            answer: list[bytes] = (await model.predict(request({"text": texts}))).outputs["same"].tolist()
            with pytest.raises(InvalidInput):
                await model.predict(request({"text": np.array([b"\xff"], dtype=object)}))
            return answer

    assert asyncio.run(main()) == ["ä".encode(), b"b"]


def test_it_starts_again_on_another_loop(doubling: str) -> None:
    model = OnnxModel(doubling)
    assert [asked(model, [[0, 0, 1]]).outputs["first"].tolist() for _ in range(2)] == [[2], [2]]


def test_a_missing_file_a_file_that_is_none_and_a_map_are_one_sentence_each(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("no model")
    for name, sentence in (("none.onnx", "none.onnx"), ("text.onnx", "not a model that ONNX Runtime can load")):
        with pytest.raises(ModelFileError, match=sentence) as caught:
            asked(OnnxModel(f"file:{tmp_path / name}"), [[1, 2, 3]])
        assert "\n" not in str(caught.value)


def test_a_classifier_with_a_map_for_an_output_is_served_by_its_scores(tmp_path: Path) -> None:
    nodes = [helper.make_node("ZipMap", ["rows"], ["map"], domain="ai.onnx.ml", classlabels_int64s=[0, 1, 2])]
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("rows", T.FLOAT, ["n", 3])],
                              [onnx.ValueInfoProto(name="map")])  # fmt: skip
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), tmp_path / "map.onnx")
    assert asked(OnnxModel(f"file:{tmp_path / 'map.onnx'}"), [[1, 2, 3]]).outputs["map"].tolist() == [[1, 2, 3]]


def described_beside(path: str, **changes: Any) -> None:
    """Writes metadata beside a model file: its own, with `changes`."""
    file = Path(path.removeprefix("file:"))

    async def main() -> ModelMetadata:
        model = OnnxModel(path)
        async with running(model):
            return model.metadata

    metadata_path(file).write_bytes(dump_metadata(replace(asyncio.run(main()), **changes)))


def test_metadata_beside_a_file_give_it_columns_labels_and_a_sample(doubling: str) -> None:
    columns = (TensorSpec("rows", "FP32", (-1, 3), fields=("a", "b", "c")),)
    sample = {"rows": np.array([[1, 2, 3]], np.float32)}
    described_beside(doubling, inputs=columns, labels=("x", "y", "z"), sample=sample, name="other", version="9")
    model = OnnxModel(doubling)

    async def main() -> ModelMetadata:
        async with running(model):
            return model.metadata

    found = asyncio.run(main())
    assert (found.inputs, found.labels) == (columns, ("x", "y", "z"))
    assert found.sample is not None
    assert found.sample["rows"].tolist() == [[1, 2, 3]]
    digest = hashlib.sha256(Path(doubling.removeprefix("file:")).read_bytes()).hexdigest()
    assert (found.name, found.version) == ("doubling", digest[:12])  # which model it is, only the file says


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"inputs": (TensorSpec("row", "FP32", (-1, 3)),), "sample": None},
            r"do not agree on row \(FP32\), rows \(FP32\); correct it",
        ),
        ({"outputs": (TensorSpec("first", "INT64", (-1,)),)}, r"do not agree on scores \(FP32\)"),
        ({"primary_output": "best"}, "the primary_output 'best' is not an output of the model"),
    ],
)
def test_metadata_beside_a_file_that_do_not_fit_it_are_refused(
    doubling: str, changes: dict[str, Any], said: str
) -> None:
    described_beside(doubling, **changes)
    with pytest.raises(ModelFileError, match=rf"^doubling\.metadata\.json.*{said}"):
        asked(OnnxModel(doubling), [[1, 2, 3]])


@pytest.mark.parametrize(
    ("nodes", "output", "kind"),
    [
        ([helper.make_node("SplitToSequence", ["x"], ["y"], axis=0)],
         helper.make_tensor_sequence_value_info("y", T.FLOAT, None), r"seq\(tensor\(float\)\)"),
        ([helper.make_node("Optional", ["x"], ["y"])],
         helper.make_value_info("y", helper.make_optional_type_proto(helper.make_tensor_type_proto(T.FLOAT, None))),
         r"optional\(tensor\(float\)\)"),
        ([helper.make_node("Cast", ["x"], ["y"], to=T.BFLOAT16)],
         helper.make_tensor_value_info("y", T.BFLOAT16, ["n", 2]), r"tensor\(bfloat16\)"),
    ],
    ids=["sequence", "optional", "bfloat16"],
)  # fmt: skip
def test_a_side_that_is_no_tensor_of_the_protocol_is_one_sentence(
    tmp_path: Path, nodes: list[Any], output: Any, kind: str
) -> None:
    rows = helper.make_tensor_value_info("x", T.FLOAT, ["n", 2])
    graph = helper.make_graph(nodes, "g", [rows], [output])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), tmp_path / "m.onnx")
    with pytest.raises(ModelFileError, match=rf"^'y' of the model is a {kind}, which is not served; export it as a "
                                             "tensor of one of BOOL, .*BYTES$"):  # fmt: skip
        asked(OnnxModel(f"file:{tmp_path / 'm.onnx'}"), [[1, 2]])
