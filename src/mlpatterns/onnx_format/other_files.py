"""Recognizes files that are not ONNX models by their first bytes, like the Unix command `file`."""

from __future__ import annotations

import re
from pathlib import Path

from mlpatterns.user_errors import ModelFileError

__all__ = ["HEAD", "refused_content"]

HEAD = 512  # bytes read from the start of the file
LFS = b"version https://git-lfs"

# The offset of the magic bytes, their pattern, and the kind of file.
_MAGIC = (
    (0, rb"PK\x03\x04", "a zip archive, as torch.save and Keras write them"),
    (0, rb"\x80[\x02-\x05]", "a pickle of Python, as joblib and torch.save write them"),
    (0, rb"\x89HDF\r\n", "an HDF5 file, as Keras writes them"),
    (4, rb"TFL3", "a TensorFlow Lite model"),
    (0, rb"GGUF", "a GGUF file"),
    (8, rb"\{\s*\"", "a safetensors file, which holds weights and no graph"),
    (0, rb"\x1f\x8b", "a gzip archive: unpack it"),
    (0, rb"BZh|\xfd7zXZ|7z\xbc\xaf|Rar!|\x28\xb5\x2f\xfd", "an archive: unpack it"),
    (257, rb"ustar", "a tar archive: unpack it"),
    (0, rb"\x93NUMPY", "a NumPy array"),
    (0, rb"\x7fELF|MZ", "a program or library"),
    (0, rb"(?i)\s*(<!doctype html|<html|<head|<\?xml|<!--)", "a page of HTML or XML, so not what was to be downloaded"),
    (0, rb"\s*[\{\[]\s*[\"\{\[\d\}\]]", "JSON"),
    (0, rb"tree\n", "a model of LightGBM's own format"),
    (4, rb"ORTM", "in ONNX Runtime's own format; serve the .onnx that it was made of"),
)  # fmt: skip


def refused_content(path: Path) -> str | None:
    """What the file is instead of an ONNX model, as the end of a sentence that begins with its name. None if its first
    bytes could be those of an ONNX model.

    Raises:
        ModelFileError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError as error:
        raise ModelFileError(f"cannot read {path.name}: {(error.strerror or str(error)).lower()}") from error
    if not head:
        return "is empty; export or copy it again"
    if head.startswith(LFS):
        return "is a pointer of git-lfs and not the model itself; run `git lfs pull` where it was cloned"
    for offset, magic, what in _MAGIC:
        if re.match(magic, head[offset:]):
            return f"is not a model that ONNX Runtime can load: it is {what}"
    return "is not a model that ONNX Runtime can load: it is text" if _is_text(head) else None


def _is_text(head: bytes) -> bool:
    """Whether the bytes are text. An ONNX file is not: near its start is the IR version, a byte below 32."""
    return all(byte >= 32 or byte in b"\t\r\n" for byte in head)
