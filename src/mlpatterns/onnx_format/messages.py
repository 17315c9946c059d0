"""The protobuf messages of an ONNX file: the fields that this project reads or changes (numbers from onnx.proto3).

Fields that are not listed here are kept byte for byte when a message is written again. This module needs protobuf,
which ONNX Runtime installs; it does not need the package onnx. Import this module only when a file needs it: the import
takes about 30 ms.
"""

from __future__ import annotations

import re
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from mlpatterns.user_errors import ModelFileError

__all__ = ["read_model"]

PACKAGE = "mlpatterns_onnx"

# NAME=NUMBER:TYPE; `*` marks a repeated field.
_FIELDS = {
    "Model": "ir_version=1:int64 graph=7:Graph opset_import=8:*Opset metadata_props=14:*Entry functions=25:*Function",
    "Opset": "domain=1:string version=2:int64",
    "Entry": "key=1:string value=2:string",
    "Function": "node=7:*Node",
    "Graph": "node=1:*Node initializer=5:*Tensor input=11:*Value output=12:*Value value_info=13:*Value "
             "sparse_initializer=15:*SparseTensor",
    "Node": "input=1:*string output=2:*string name=3:string op_type=4:string attribute=5:*Attribute domain=7:string",
    "Attribute": "name=1:string f=2:float i=3:int64 s=4:bytes t=5:Tensor g=6:Graph floats=7:*float ints=8:*int64 "
                 "strings=9:*bytes tensors=10:*Tensor graphs=11:*Graph type=20:int32 sparse_tensor=22:SparseTensor "
                 "sparse_tensors=23:*SparseTensor",
    "Tensor": "dims=1:*int64 data_type=2:int32 int32_data=5:*int32 string_data=6:*bytes int64_data=7:*int64 "
              "name=8:string raw_data=9:bytes external_data=13:*Entry data_location=14:int32",
    "SparseTensor": "values=1:Tensor indices=2:Tensor",
    "Value": "name=1:string type=2:Type",
    "Type": "tensor_type=1:TensorType",
    "TensorType": "elem_type=1:int32 shape=2:Shape",
    "Shape": "dim=1:*Dimension",
    "Dimension": "dim_value=1:int64 dim_param=2:string",
}  # fmt: skip

_FIELD = re.compile(r"(\w+)=(\d+):(\*?)(\w+)")
_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS = {name: getattr(_Field, f"TYPE_{name.upper()}") for name in ("int32", "int64", "float", "string", "bytes")}


def read_model(content: bytes) -> Any:
    """The ModelProto in the bytes of a file, with the fields above.

    Raises:
        ModelFileError: the bytes are not an ONNX model.
    """
    try:
        model = _Model.FromString(content)
    except DecodeError as error:
        raise ModelFileError("it is not an ONNX file, or a part of one") from error
    if not model.HasField("graph"):
        raise ModelFileError("it is not an ONNX file: it holds no graph")
    return model


def _described() -> Any:
    """The descriptor of the messages. As in ONNX's schema, fields have presence (proto2), so a message that is read and
    written again stays the same."""
    file = descriptor_pb2.FileDescriptorProto(name=f"{PACKAGE}.proto", package=PACKAGE, syntax="proto2")
    for name, fields in _FIELDS.items():
        message = file.message_type.add(name=name)
        for field, number, form, kind in _FIELD.findall(fields):
            label = _Field.LABEL_REPEATED if form else _Field.LABEL_OPTIONAL
            if kind in _SCALARS:
                message.field.add(name=field, number=int(number), label=label, type=_SCALARS[kind])
            else:
                message.field.add(name=field, number=int(number), label=label, type=_Field.TYPE_MESSAGE,
                                  type_name=f".{PACKAGE}.{kind}")  # fmt: skip
    return file


_pool = descriptor_pool.DescriptorPool()
_pool.AddSerializedFile(_described().SerializeToString())
_Model = message_factory.GetMessageClass(_pool.FindMessageTypeByName(f"{PACKAGE}.Model"))
