"""Finds the files with the external weights of an ONNX model, from the file names in its tensors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from mlpatterns.user_errors import ModelFileError

__all__ = ["external_files", "external_files_of", "own_name"]

KEY = b"location"  # the key of a tensor's file name: a model without these bytes has no external weights
CHUNK = 1 << 20  # bytes for each read
EXTERNAL = 1  # TensorProto.DataLocation of the ONNX format
IN_MEMORY = "_ORT_MEM_ADDR_"  # ONNX Runtime reads such a location as an address in its own memory


def external_files(content: bytes) -> tuple[str, ...]:
    """The files with the external weights of a model, relative to its folder, sorted; empty if it has none.

    Raises:
        ModelFileError: the bytes are not an ONNX model, or a tensor's file is not in the model's folder.
    """
    if KEY not in content:
        return ()
    from mlpatterns.onnx_format.messages import read_model  # imports protobuf, which few models need

    return tuple(sorted({own_name(location) for location in _locations(read_model(content))}))


def external_files_of(path: Path) -> tuple[str, ...]:
    """As `external_files`, for the path of a model. The file is read into memory only if it may have external weights.

    Raises:
        OSError: the file cannot be read.
        ModelFileError: as `external_files`.
    """
    with path.open("rb") as file:
        if not _holds(file, KEY):
            return ()
        file.seek(0)
        return external_files(file.read())


def _holds(file: BinaryIO, key: bytes) -> bool:
    """Whether a file contains `key`. The file is not memory-mapped: if it were truncated, this process would crash."""
    seen = b""
    while chunk := file.read(CHUNK):
        seen = seen[-len(key) :] + chunk
        if key in seen:
            return True
    return False


def own_name(location: str | bytes) -> str:
    """The name of a weights file as a path below the model's folder.

    Args:
        location: from protobuf: bytes if it is not UTF-8.

    Raises:
        ModelFileError: `location` is not such a path.
    """
    text = location if isinstance(location, str) else location.decode("utf-8", "backslashreplace")
    path = PurePosixPath(text)
    odd = "\\" in text or not text.isprintable() or IN_MEMORY in path.parts
    if odd or not path.parts or path.is_absolute() or ".." in path.parts:
        raise ModelFileError(
            f"the model keeps weights in {text[:100]!r}, which is not a file below its own folder; export it again "
            "with its weights beside it"
        )
    return path.as_posix()


def _locations(message: Any) -> Iterator[str | bytes]:
    """The locations of all external tensors in a message, at any depth, such as in subgraphs and functions."""
    if message.DESCRIPTOR.name == "Tensor":
        if message.data_location == EXTERNAL:
            yield from (entry.value for entry in message.external_data if entry.key == "location")
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            for inner in [value] if hasattr(value, "ListFields") else value:
                yield from _locations(inner)
