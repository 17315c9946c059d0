"""A model's configuration as Triton's clients read it."""

from __future__ import annotations

from msgspec.structs import replace

from mlpatterns.metadata import ModelMetadata, TensorSpec
from mlpatterns.oip.configuration import configuration
from mlpatterns.oip.limits import RequestLimits


def described(inputs: list[TensorSpec], outputs: list[TensorSpec], platform: str = "onnxruntime_onnx") -> ModelMetadata:
    return ModelMetadata("m", "1", platform, tuple(inputs), tuple(outputs), outputs[0].name)


def test_a_batch_axis_is_said_once_as_the_largest_batch_and_left_out_of_the_dims() -> None:
    model = described(
        [TensorSpec("x", "FP32", (-1, 4))], [TensorSpec("y", "INT64", (-1,)), TensorSpec("z", "BYTES", (-1, 1))]
    )
    said = configuration(model, RequestLimits(max_elements=1000, max_body_bytes=1600))
    assert said["max_batch_size"] == 100  # 1600 bytes hold 100 rows of 4 floats
    assert said["input"] == [{"name": "x", "data_type": "TYPE_FP32", "dims": [4]}]
    assert said["output"] == [
        {"name": "y", "data_type": "TYPE_INT64", "dims": []}, {"name": "z", "data_type": "TYPE_STRING", "dims": [1]},
    ]  # fmt: skip
    assert (said["name"], said["platform"], said["backend"]) == ("m", "onnxruntime_onnx", "onnxruntime")


def test_the_elements_of_a_tensor_bound_the_batch_too() -> None:
    model = described([TensorSpec("x", "BOOL", (-1, 4))], [TensorSpec("y", "BOOL", (-1, 4))])
    assert configuration(model, RequestLimits(max_elements=1000))["max_batch_size"] == 250


def test_a_model_may_take_fewer_rows_than_the_limits_allow() -> None:
    model = described([TensorSpec("x", "FP32", (-1, 4))], [TensorSpec("y", "FP32", (-1,))])
    assert configuration(replace(model, max_batch_size=8), RequestLimits())["max_batch_size"] == 8
    assert configuration(replace(model, max_batch_size=8), RequestLimits(max_elements=16))["max_batch_size"] == 4


def test_a_model_without_a_free_first_axis_everywhere_has_no_batches() -> None:
    model = described([TensorSpec("x", "FP16", (-1, 4))], [TensorSpec("y", "FP32", (1, 2))], "python")
    said = configuration(model, RequestLimits())
    assert (said["max_batch_size"], said["backend"]) == (0, "python")
    assert [said["input"][0]["dims"], said["output"][0]["dims"]] == [[-1, 4], [1, 2]]


def test_a_row_larger_than_the_limits_still_counts_as_one() -> None:
    model = described([TensorSpec("x", "FP64", (-1, 10**6))], [TensorSpec("y", "FP64", (-1, 1))])
    assert configuration(model, RequestLimits(max_elements=10))["max_batch_size"] == 1
