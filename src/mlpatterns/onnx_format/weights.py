"""Weights that an ONNX file keeps in other files: which files those are, by the names that its tensors give them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from mlpatterns.user_errors import ModelFileError

__all__ = ["external_files", "external_files_of", "own_name"]

KEY = b"location"  # the entry of a tensor that names its file: a model without these bytes has none
CHUNK = 1 << 20  # bytes that are read at once
EXTERNAL = 1  # TensorProto.DataLocation of the ONNX format
IN_MEMORY = "_ORT_MEM_ADDR_"  # ONNX Runtime takes what follows such a name for an address of its own memory


def external_files(content: bytes) -> tuple[str, ...]:
    """The files beside a model that its tensors are in, relative to its folder, sorted; none for one that is whole.

    Raises:
        ModelFileError: the bytes are no ONNX model, or a tensor's file is not in the model's folder.
    """
    if KEY not in content:
        return ()
    from mlpatterns.onnx_format.messages import read_model  # protobuf, which few models need

    return tuple(sorted({own_name(location) for location in _locations(read_model(content))}))


def external_files_of(path: Path) -> tuple[str, ...]:
    """The same for a file, which is not held in memory unless it may have such tensors.

    Raises:
        OSError: it cannot be read.
        ModelFileError: as `external_files`.
    """
    with path.open("rb") as file:
        if not _holds(file, KEY):
            return ()
        file.seek(0)
        return external_files(file.read())


def _holds(file: BinaryIO, key: bytes) -> bool:
    """Whether the bytes are in a file. It is not mapped: who cut it short meanwhile would end this process."""
    seen = b""
    while chunk := file.read(CHUNK):
        seen = seen[-len(key) :] + chunk
        if key in seen:
            return True
    return False


def own_name(location: str | bytes) -> str:
    """The name of a file of weights as one path below the model's folder.

    Args:
        location: as protobuf gives it: bytes where it is no UTF-8.

    Raises:
        ModelFileError: it is none.
    """
    text = location if isinstance(location, str) else location.decode("utf-8", "backslashreplace")
    path = PurePosixPath(text)
    odd = "\\" in text or not text.isprintable() or IN_MEMORY in path.parts
    if odd or not path.parts or path.is_absolute() or ".." in path.parts:
        raise ModelFileError(
            f"the model keeps weights in {text[:100]!r}, which is no file below its own folder; export it again "
            "with its weights beside it"
        )
    return path.as_posix()


def _locations(message: Any) -> Iterator[str | bytes]:
    """Of every tensor that a message holds, however deep: graphs lie in the attributes of nodes, nodes in functions."""
    if message.DESCRIPTOR.name == "Tensor":
        if message.data_location == EXTERNAL:
            yield from (entry.value for entry in message.external_data if entry.key == "location")
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            for inner in [value] if hasattr(value, "ListFields") else value:
                yield from _locations(inner)
