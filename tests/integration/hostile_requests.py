"""What no honest client sends, over HTTP and over gRPC; each must get an error of its own."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

from grpc_health.v1.health_pb2 import HealthCheckRequest

from mlpatterns.oip import grpc_messages as messages
from mlpatterns.server.grpc.streams import HEALTH_SERVICE

__all__ = ["INFER", "MESSAGES", "MIB", "REQUESTS"]

MIB = 1024 * 1024

OIP = {"inputs": [{"name": "input", "shape": [1, 2], "datatype": "FP32", "data": [0, 0]}]}


def oip(**changes: Any) -> bytes:
    return json.dumps({"inputs": [{**OIP["inputs"][0], **changes}]}).encode()


def binary(size: Any, body: bytes = b"\0" * 8, **changes: Any) -> tuple[bytes, dict[str, str]]:
    tensor = {"name": "input", "shape": [1, 2], "datatype": "FP32", "parameters": {"binary_data_size": size}, **changes}
    head = json.dumps({"inputs": [tensor]}).encode()
    return head + body, {"Inference-Header-Content-Length": str(len(head))}


INFER = "/v2/models/sleeper/infer"
PACKED, BOMB = {"content-encoding": "gzip"}, gzip.compress(b"\0" * 200 * MIB, 9)
REQUESTS: list[tuple[str, bytes, dict[str, str]]] = [
    ("/predict", b"", {}),
    ("/predict", b"{", {}),
    ("/predict", b"[" * 100_000, {}),
    ("/predict", b'{"data": ' + b"[" * 2000 + b"]" * 2000 + b"}", {}),
    ("/predict", b'{"data": [[NaN, 1]]}', {}),
    ("/predict", b'{"data": [[1e999, 1]]}', {}),
    ("/predict", b'{"data": [[1, 2], [3]]}', {}),
    ("/predict", b'{"data": [["1", 2]]}', {}),
    ("/predict", b"\xff\xfe", {}),
    ("/predict", b"\0" * 9 * MIB, {}),
    ("/predict", BOMB, PACKED),
    ("/predict", zlib.compress(b"\0" * 200 * MIB), {"content-encoding": "deflate"}),
    ("/predict", b"no gzip", PACKED),
    ("/predict", b"x", {"content-encoding": "br"}),
    ("/predict", b'{"data": [[0, 0]]}', {"x-request-timeout-ms": "-1"}),
    ("/predict", b'{"data": [[0, 0]]}', {"x-padding": "x" * 50_000}),
    (INFER, b"{}", {}),
    (INFER, oip(name="other"), {}),
    (INFER, oip(datatype="FP31"), {}),
    (INFER, oip(datatype="fp32"), {}),
    (INFER, oip(shape=[1, -2]), {}),
    (INFER, oip(shape=[2**62, 2**62]), {}),
    (INFER, oip(shape=[1] * 1000), {}),
    (INFER, oip(data=[0, "0"]), {}),
    (INFER, oip(data=[0]), {}),
    (INFER, BOMB, PACKED),
    (INFER, *binary(-1)),
    (INFER, *binary(2**63)),
    (INFER, *binary(7)),
    (INFER, *binary(True)),
    (INFER, *binary(8, b"\0" * 9)),
    (INFER, *binary(8, b"\0" * 4)),
    (INFER, b"{}", {"Inference-Header-Content-Length": "99999999999999999999"}),
    (INFER, b"{}", {"Inference-Header-Content-Length": "-1"}),
    ("/v2/models/../../etc/passwd/infer", b"{}", {}),
    ("/v2/models/none/infer", b"{}", {}),
    ("/health", b"x" * MIB, {}),
]


# ---- over gRPC ---------------------------------------------------------------------------------------------------

ROW = b"\0" * 8


def message(raw: tuple[bytes, ...] = (ROW,), model: str = "sleeper", **changes: Any) -> bytes:
    """A ModelInferRequest of one tensor, with `changes` to it."""
    asked = messages.ModelInferRequest(model_name=model, raw_input_contents=raw)
    asked.inputs.add(**{"name": "input", "datatype": "FP32", "shape": [1, 2], **changes})
    return bytes(asked.SerializeToString())


def typed(**contents: Any) -> bytes:
    return message((), contents=contents)


def with_parameter(name: str, **value: Any) -> bytes:
    asked = messages.ModelInferRequest.FromString(message())
    asked.parameters[name].CopyFrom(messages.InferParameter(**value))
    return bytes(asked.SerializeToString())


CALL = f"/{messages.SERVICE}/ModelInfer"
MESSAGES: list[tuple[str, bytes]] = [
    (CALL, b"\xff\xff\xff"),
    (CALL, b"\x2a" * 50_000),
    (CALL, b""),
    (CALL, message(model="../../etc/passwd")),
    (CALL, message(model="x" * 100_000)),
    (CALL, message(name="other")),
    (CALL, message(name="")),
    (CALL, message(datatype="FP31")),
    (CALL, message(datatype="BYTES")),
    (CALL, message(shape=[1, -2])),
    (CALL, message(shape=[2**62, 2**62])),
    (CALL, message(shape=[1] * 5000)),
    (CALL, message(shape=[])),
    (CALL, message(raw=(ROW, ROW))),
    (CALL, message(raw=(ROW[:7],))),
    (CALL, message(raw=(b"\0" * 9 * MIB,))),
    (CALL, typed(fp64_contents=[0, 0])),
    (CALL, typed(fp32_contents=[0] * 100_000)),
    (CALL, typed()),
    (CALL, message(contents={"fp32_contents": [0, 0]})),
    (CALL, with_parameter("timeout", string_param="soon")),
    (CALL, with_parameter("timeout", int64_param=-1)),
    (CALL, with_parameter("empty")),
    (f"/{messages.SERVICE}/ModelMetadata", messages.ModelMetadataRequest(name="none").SerializeToString()),
    (f"/{messages.SERVICE}/Nothing", b""),
    ("/", b""),
    (f"/{HEALTH_SERVICE}/Check", HealthCheckRequest(service="none").SerializeToString()),
]
