"""Makes one file of an ONNX model that has weights in other files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from mlpatterns.user_errors import MissingExtra, ModelFileError

__all__ = ["embed_weights"]

Read = Callable[[str], bytes]


def embed_weights(model: bytes, read: Read) -> bytes:
    """The bytes of a model with all external tensors embedded; `model` itself if it has none.

    Args:
        read: returns the content of a file by the name in a tensor; it may raise an error for a name.

    Raises:
        ModelFileError: the bytes are not an ONNX model, or a tensor is not in its file.
        MissingExtra: the package onnx is not installed.
    """
    try:
        from google.protobuf.message import DecodeError, EncodeError
        from onnx import ModelProto, TensorProto
        from onnx.external_data_helper import uses_external_data
    except ImportError as error:
        raise MissingExtra("reading a model whose weights lie in other files", "mlflow") from error
    try:
        whole = ModelProto.FromString(model)
        outside = [tensor for tensor in _inside(whole, TensorProto) if uses_external_data(tensor)]
        for tensor in outside:
            tensor.raw_data = _external({entry.key: entry.value for entry in tensor.external_data}, read)
            tensor.ClearField("external_data")
            tensor.ClearField("data_location")
        return whole.SerializeToString() if outside else model
    except (DecodeError, EncodeError) as error:
        raise ModelFileError("it is not an ONNX model, or it is damaged, too large or nested too deeply") from error


def _inside(message: Any, kind: type) -> Iterator[Any]:
    """Every message of type `kind` inside a message, at any depth: attributes of nodes contain graphs too."""
    if isinstance(message, kind):
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            for inner in value if isinstance(value, Sequence) else [value]:
                yield from _inside(inner, kind)


def _external(entries: dict[str, str], read: Read) -> bytes:
    """The bytes of a tensor, which ``location``, ``offset`` and ``length`` in `entries` select."""
    location = entries.get("location", "")
    try:
        offset, length = int(entries.get("offset", "0")), int(entries.get("length", "-1"))
    except ValueError as error:
        raise ModelFileError("a tensor's place in its file of weights is not a number") from error
    file = read(location)
    end = len(file) if length < 0 else offset + length
    if not 0 <= offset <= end <= len(file):
        raise ModelFileError(f"the file of weights {location} is shorter than the model says")
    return file[offset:end]
