"""The messages and the service of the Open Inference Protocol over gRPC, with Triton's calls for managing models.

This module makes the descriptors itself, so that it does not depend on a version of protoc. Field names and numbers are
those of the protocol. The classes are in a separate descriptor pool, so that a client library that defines the same
names can run in the same process.
"""

from __future__ import annotations

import re
from typing import Any

from mlpatterns.user_errors import MissingExtra

try:
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
    from google.protobuf.message import DecodeError
except ImportError as error:
    raise MissingExtra("gRPC", "grpc") from error

__all__ = ["CHOICE", "FILE", "MESSAGES", "SERVICE", "DecodeError"]

PACKAGE, NAME = "inference", "GRPCInferenceService"
SERVICE, CHOICE = f"{PACKAGE}.{NAME}", "parameter_choice"

# NAME=NUMBER:TYPE. `*` is a repeated field, `%` a map from strings, `|` a member of a oneof. Nested messages of the
# protocol are at the top level here: the bytes on the wire are the same.
_FIELDS = {
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
                             "outputs=5:*TensorMetadata rest=1000:bytes",  # `rest` is ours: other clients skip it
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
    "ModelConfigRequest": "name=1:string version=2:string",
    "Latest": "num_versions=1:uint32",
    "ModelVersionPolicy": "latest=1:Latest",
    "ModelInput": "name=1:string data_type=2:DataType dims=4:*int64",
    "ModelOutput": "name=1:string data_type=2:DataType dims=3:*int64",
    "ModelConfig": "name=1:string platform=2:string version_policy=3:ModelVersionPolicy max_batch_size=4:int32 "
                   "input=5:*ModelInput output=6:*ModelOutput backend=17:string",
    "ModelConfigResponse": "config=1:ModelConfig",
    "ModelStatisticsRequest": "name=1:string version=2:string",
    "StatisticDuration": "count=1:uint64 ns=2:uint64",
    "InferStatistics": "success=1:StatisticDuration fail=2:StatisticDuration queue=3:StatisticDuration "
                       "compute_input=4:StatisticDuration compute_infer=5:StatisticDuration "
                       "compute_output=6:StatisticDuration",
    "InferBatchStatistics": "batch_size=1:uint64 compute_input=2:StatisticDuration "
                            "compute_infer=3:StatisticDuration compute_output=4:StatisticDuration",
    "ModelStatistics": "name=1:string version=2:string last_inference=3:uint64 inference_count=4:uint64 "
                       "execution_count=5:uint64 inference_stats=6:InferStatistics batch_stats=7:*InferBatchStatistics",
    "ModelStatisticsResponse": "model_stats=1:*ModelStatistics",
    "RepositoryIndexRequest": "repository_name=1:string ready=2:bool",
    "ModelIndex": "name=1:string version=2:string state=3:string reason=4:string",
    "RepositoryIndexResponse": "models=1:*ModelIndex",
    "ModelRepositoryParameter": "bool_param=1:|bool int64_param=2:|int64 string_param=3:|string bytes_param=4:|bytes",
    "RepositoryModelLoadRequest": "repository_name=1:string model_name=2:string "
                                  "parameters=3:%ModelRepositoryParameter",
    "RepositoryModelLoadResponse": "",
    "RepositoryModelUnloadRequest": "repository_name=1:string model_name=2:string "
                                    "parameters=3:%ModelRepositoryParameter",
    "RepositoryModelUnloadResponse": "",
}  # fmt: skip
_DATA_TYPES = (
    "INVALID", "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32",
    "FP64", "STRING", "BF16",
)  # fmt: skip

_FIELD = re.compile(r"(\w+)=(\d+):([*%|]?)(\w+)")
_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    name: getattr(_Field, f"TYPE_{name.upper()}")
    for name in ("bool", "int32", "int64", "uint32", "uint64", "float", "double", "string", "bytes")
}


def _file_descriptor() -> Any:
    """Makes the file descriptor: all messages, and a method for each pair of a request and a response."""
    file = descriptor_pb2.FileDescriptorProto(name=f"mlpatterns/{PACKAGE}.proto", package=PACKAGE, syntax="proto3")
    types = file.enum_type.add(name="DataType")
    for number, datatype in enumerate(_DATA_TYPES):
        types.value.add(name=f"TYPE_{datatype}", number=number)
    service = file.service.add(name=NAME)
    for name, fields in _FIELDS.items():
        message = file.message_type.add(name=name)
        for field, number, form, kind in _FIELD.findall(fields):
            if form == "%":
                kind = _add_entry(message, f"{field.title()}Entry", kind)
            _add_field(message, field, int(number), form, kind)
        if name.endswith("Request"):
            call = name.removesuffix("Request")
            service.method.add(name=call, input_type=f".{PACKAGE}.{name}", output_type=f".{PACKAGE}.{call}Response")
    return file


def _add_field(message: Any, name: str, number: int, form: str, kind: str) -> None:
    field = message.field.add(name=name, number=number)
    field.label = _Field.LABEL_REPEATED if form in ("*", "%") else _Field.LABEL_OPTIONAL
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:
        field.type = _Field.TYPE_ENUM if kind == "DataType" else _Field.TYPE_MESSAGE
        field.type_name = f".{PACKAGE}.{kind}"
    if form == "|":
        if not message.oneof_decl:
            message.oneof_decl.add(name=CHOICE)
        field.oneof_index = 0


def _add_entry(message: Any, name: str, kind: str) -> str:
    """Adds the entry type of a map from strings to `kind`, and returns its name."""
    entry = message.nested_type.add(name=name)
    entry.options.map_entry = True
    _add_field(entry, "key", 1, "", "string")
    _add_field(entry, "value", 2, "", kind)
    return f"{message.name}.{name}"


FILE: bytes = _file_descriptor().SerializeToString()
"""The serialized file descriptor, which server reflection sends to clients."""
_pool = descriptor_pool.DescriptorPool()
_pool.AddSerializedFile(FILE)
MESSAGES = {name: message_factory.GetMessageClass(_pool.FindMessageTypeByName(f"{PACKAGE}.{name}")) for name in _FIELDS}


def __getattr__(name: str) -> Any:
    """Makes the class of each message an attribute of this module."""
    if name not in MESSAGES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return MESSAGES[name]
