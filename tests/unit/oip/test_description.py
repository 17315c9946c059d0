"""A model's description goes to another mlpatterns whole, and comes from any other server as far as it goes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mlpatterns.errors import InternalError
from mlpatterns.metadata import ModelMetadata, TensorSpec
from mlpatterns.oip.description import decode_metadata, encode_metadata

X = TensorSpec("x", "FP32", (-1, 2), fields=("a", "b"))
METADATA = ModelMetadata(
    "m", "3", "onnx", (X, TensorSpec("i", "BYTES", (-1,), "image")), (X, TensorSpec("y", "INT64", (-1,))), "y", ("l",)
)
PLAIN: dict[str, Any] = {"name": "m", "inputs": [], "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1]}]}


@pytest.mark.parametrize("identity", [None, "digest"])
def test_a_description_comes_back_whole(identity: str | None) -> None:
    assert decode_metadata(encode_metadata(METADATA, identity)) == (METADATA, identity)


def test_the_protocols_own_fields_are_as_it_says() -> None:
    said = json.loads(encode_metadata(METADATA))
    assert (said["name"], said["versions"], said["platform"]) == ("m", ["3"], "onnx")
    assert said["outputs"][1] == {"name": "y", "datatype": "INT64", "shape": [-1]}


def test_another_server_may_say_less() -> None:
    metadata, identity = decode_metadata(json.dumps(PLAIN).encode())
    assert (metadata.version, metadata.platform, metadata.primary_output, identity) == ("", "", "y", None)
    assert decode_metadata(json.dumps({**PLAIN, "versions": ["1", "2"]}).encode())[0].version == "2"


def test_another_server_may_mean_other_things_by_our_parameters() -> None:
    output = {**PLAIN["outputs"][0], "parameters": {"content": "np", "fields": 3}}
    metadata, identity = decode_metadata(
        json.dumps({**PLAIN, "outputs": [output], "parameters": {"labels": "a", "primary_output": "q"}}).encode()
    )
    assert (metadata.labels, metadata.primary_output, metadata.outputs[0].content, identity) == (
        (),
        "y",
        "tensor",
        None,
    )


@pytest.mark.parametrize(
    "wrong",
    [b"", b"<html>", b"[]", {"outputs": []}, {"name": 5}, {"inputs": None}, {"versions": "1"},
     {"outputs": [{"name": "y", "datatype": "FP8", "shape": [1]}]},
     {"outputs": [{"name": "y", "datatype": "FP32", "shape": [-2]}]},
     {"outputs": [{"name": "y", "datatype": "FP32", "shape": [1.5]}]}],
)  # fmt: skip
def test_a_malformed_description_is_an_internal_error(wrong: Any) -> None:
    with pytest.raises(InternalError, match="metadata of the remote model is malformed"):
        decode_metadata(wrong if isinstance(wrong, bytes) else json.dumps({**PLAIN, **wrong}).encode())
