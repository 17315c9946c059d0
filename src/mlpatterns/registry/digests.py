"""The identity of a model on disk: a digest of its ONNX file and its files of external weights."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from mlpatterns.onnx_format.other_files import refused_content
from mlpatterns.onnx_format.weights import external_files_of
from mlpatterns.user_errors import ModelFileError

__all__ = ["digest", "identity_of", "reading_file", "weights_of"]


def digest(path: Path) -> str:
    """The SHA-256 of a file, in hex. The file is read in chunks.

    Raises:
        ModelFileError: the file cannot be read.
    """
    with reading_file(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def identity_of(sha256: str, weights: Mapping[str, str]) -> str:
    """The SHA-256 that identifies a model, in hex.

    Without external weights it is the SHA-256 of the ONNX file. With them it is the SHA-256 of a list of the digests
    and names of all files.

    Args:
        sha256: the SHA-256 of the ONNX file.
        weights: the SHA-256 of each file of weights, by its name.
    """
    if not weights:
        return sha256
    lines = [sha256, *(f"{weights[name]}  {name}" for name in sorted(weights))]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def weights_of(model: Path) -> dict[str, str]:
    """The SHA-256 of each file of external weights of an ONNX file, by its name relative to the ONNX file's folder.

    Raises:
        ModelFileError: a file of weights is missing or outside the folder, or `model` is not an ONNX model.
    """
    try:
        with reading_file(model):
            names = external_files_of(model)
    except ModelFileError as error:
        raise ModelFileError(f"{model.name} {refused_content(model) or f'cannot be served: {error}'}") from error
    return {name: digest(_beside(model, name)) for name in names}


@contextmanager
def reading_file(path: Path) -> Iterator[None]:
    """Turns an OSError while the file is read into a ModelFileError."""
    try:
        yield
    except OSError as error:
        raise ModelFileError(f"cannot read {path.name}: {(error.strerror or str(error)).lower()}") from error


def _beside(model: Path, name: str) -> Path:
    """The path of a file of weights. It may be a link into the folder to which the model itself links, as in the caches
    of model hubs.

    Raises:
        ModelFileError: the file is missing, or is a link to another folder.
    """
    file = model.parent / name
    if not file.is_file():
        raise ModelFileError(
            f"{model.name} keeps weights in {name}, which is not there; put it beside {model.name}, or export the "
            "model as one file"
        )
    if not any(file.resolve().is_relative_to(place) for place in (model.parent.resolve(), model.resolve().parent)):
        raise ModelFileError(f"{model.name} keeps weights in {name}, a link that leaves its folder; put the file there")
    return file
