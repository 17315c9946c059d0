"""The messages of the Open Inference Protocol over gRPC, and of gRPC's own health protocol.

They are described here and not generated: fields and numbers are the protocol's, no compiler's version matters, and
since the classes live in a pool of their own, a client library that brings its own may live in the same process.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mlpatterns.errors import MissingExtra

try:
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
    from google.protobuf.message import DecodeError
except ImportError as error:
    raise MissingExtra("gRPC", "grpc") from error

__all__ = [
    "CHOICE", "HEALTH_SERVICE", "SERVICE", "DecodeError", "HealthCheckRequest", "HealthCheckResponse", "InferParameter",
    "ModelInferRequest", "ModelInferResponse", "ModelMetadataRequest", "ModelMetadataResponse", "ModelReadyRequest",
    "ModelReadyResponse", "ServerLiveRequest", "ServerLiveResponse", "ServerMetadataRequest", "ServerMetadataResponse",
    "ServerReadyRequest", "ServerReadyResponse",
]  # fmt: skip

SERVICE, HEALTH_SERVICE = "inference.GRPCInferenceService", "grpc.health.v1.Health"
CHOICE = "parameter_choice"

# NAME=NUMBER:TYPE; `*` repeated, `%` a map from strings, `|` one of several. Messages within messages are named flat,
# which no byte on the wire shows.
_INFERENCE = {
    "ServerLiveRequest": "",
    "ServerLiveResponse": "live=1:bool",
    "ServerReadyRequest": "",
    "ServerReadyResponse": "ready=1:bool",
    "ModelReadyRequest": "name=1:string version=2:string",
    "ModelReadyResponse": "ready=1:bool",
    "ServerMetadataRequest": "",
    "ServerMetadataResponse": "name=1:string version=2:string extensions=3:*string",
    "ModelMetadataRequest": "name=1:string version=2:string",
    "TensorMetadata": "name=1:string datatype=2:string shape=3:*int64",
    "ModelMetadataResponse": "name=1:string versions=2:*string platform=3:string inputs=4:*TensorMetadata "
                             "outputs=5:*TensorMetadata rest=1000:bytes",  # `rest` is ours; others skip it unread
    "InferParameter": "bool_param=1:|bool int64_param=2:|int64 string_param=3:|string double_param=4:|double "
                      "uint64_param=5:|uint64",
    "InferTensorContents": "bool_contents=1:*bool int_contents=2:*int32 int64_contents=3:*int64 "
                           "uint_contents=4:*uint32 uint64_contents=5:*uint64 fp32_contents=6:*float "
                           "fp64_contents=7:*double bytes_contents=8:*bytes",
    "InferInputTensor": "name=1:string datatype=2:string shape=3:*int64 parameters=4:%InferParameter "
                        "contents=5:InferTensorContents",
    "InferRequestedOutputTensor": "name=1:string parameters=2:%InferParameter",
    "ModelInferRequest": "model_name=1:string model_version=2:string id=3:string parameters=4:%InferParameter "
                         "inputs=5:*InferInputTensor outputs=6:*InferRequestedOutputTensor raw_input_contents=7:*bytes",
    "InferOutputTensor": "name=1:string datatype=2:string shape=3:*int64 parameters=4:%InferParameter "
                         "contents=5:InferTensorContents",
    "ModelInferResponse": "model_name=1:string model_version=2:string id=3:string parameters=4:%InferParameter "
                          "outputs=5:*InferOutputTensor raw_output_contents=6:*bytes",
}  # fmt: skip
# The status of the health protocol is an enumeration, which travels as an int32 does.
_HEALTH = {"HealthCheckRequest": "service=1:string", "HealthCheckResponse": "status=1:int32"}

_FIELD = re.compile(r"(\w+)=(\d+):([*%|]?)(\w+)")
_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    name: getattr(_Field, f"TYPE_{name.upper()}")
    for name in ("bool", "int32", "int64", "uint32", "uint64", "float", "double", "string", "bytes")
}


def _classes(package: str, messages: Mapping[str, str]) -> dict[str, Any]:
    """A class for each message, in a pool of their own."""
    file = descriptor_pb2.FileDescriptorProto(name=f"mlpatterns/{package}.proto", package=package, syntax="proto3")
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        for field, number, form, kind in _FIELD.findall(fields):
            if form == "%":
                kind = _add_entry(message, f"{field.title()}Entry", package, kind)
            _add_field(message, field, int(number), form, kind, package)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}")) for name in messages}


def _add_field(message: Any, name: str, number: int, form: str, kind: str, package: str) -> None:
    field = message.field.add(name=name, number=number)
    field.label = _Field.LABEL_REPEATED if form in ("*", "%") else _Field.LABEL_OPTIONAL
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:
        field.type, field.type_name = _Field.TYPE_MESSAGE, f".{package}.{kind}"
    if form == "|":
        if not message.oneof_decl:
            message.oneof_decl.add(name=CHOICE)
        field.oneof_index = 0


def _add_entry(message: Any, name: str, package: str, kind: str) -> str:
    """The type of a map's entries, from strings to `kind`; where it is."""
    entry = message.nested_type.add(name=name)
    entry.options.map_entry = True
    _add_field(entry, "key", 1, "", "string", package)
    _add_field(entry, "value", 2, "", kind, package)
    return f"{message.name}.{name}"


_made = _classes("inference", _INFERENCE) | _classes("grpc.health.v1", _HEALTH)
HealthCheckRequest, HealthCheckResponse = _made["HealthCheckRequest"], _made["HealthCheckResponse"]
InferParameter = _made["InferParameter"]
ModelInferRequest, ModelInferResponse = _made["ModelInferRequest"], _made["ModelInferResponse"]
ModelMetadataRequest, ModelMetadataResponse = _made["ModelMetadataRequest"], _made["ModelMetadataResponse"]
ModelReadyRequest, ModelReadyResponse = _made["ModelReadyRequest"], _made["ModelReadyResponse"]
ServerLiveRequest, ServerLiveResponse = _made["ServerLiveRequest"], _made["ServerLiveResponse"]
ServerMetadataRequest, ServerMetadataResponse = _made["ServerMetadataRequest"], _made["ServerMetadataResponse"]
ServerReadyRequest, ServerReadyResponse = _made["ServerReadyRequest"], _made["ServerReadyResponse"]
