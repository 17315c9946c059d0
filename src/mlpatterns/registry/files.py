"""A model on disk: its ONNX file and, for a registered model, the folder of its other files.

Serving processes import this module. So it imports numpy and msgspec, and nothing for training or databases.
"""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct
from msgspec.structs import asdict, replace

from mlpatterns.metadata import DTYPES, Array, ModelMetadata
from mlpatterns.onnx_format.weights import external_files
from mlpatterns.references import name_of
from mlpatterns.registry.digests import digest, identity_of, reading_file, weights_of
from mlpatterns.stores.objects import is_key
from mlpatterns.user_errors import ModelFileError, NoModelFile

__all__ = [
    "AGAIN", "MANIFEST", "METADATA", "METADATA_KEY", "MODEL", "FileEntry", "Manifest", "ModelFiles",
    "checked_content", "digest", "dump_manifest", "dump_metadata", "load_metadata", "metadata_path", "parse_metadata",
    "read", "read_manifest", "unregistered_files", "verify",
]  # fmt: skip

MODEL, METADATA, MANIFEST = "model.onnx", "metadata.json", "manifest.json"
METADATA_KEY = "mlpatterns.metadata"  # the key of the same record in the metadata_props of an ONNX file
AGAIN = "train or fetch the model again"


class ModelFiles(Struct, frozen=True):
    """The files of a model, with their digests and metadata.

    Attributes:
        model: the path of the ``.onnx`` file.
        folder: the folder of a registered model, or None for a file outside any registry.
        sha256: the SHA-256 of the ``.onnx`` file and its external weights, in hex (`identity_of`).
        version: the registry's version number, which a copy keeps if its metadata was copied too; otherwise the first
            12 digits of the digest.
        metadata: its inputs, outputs and labels, or None for a file without metadata.
        weights: the SHA-256 of each file of external weights, by its name relative to the model's folder.
    """

    model: Path
    folder: Path | None
    sha256: str
    name: str
    version: str
    metadata: ModelMetadata | None = None
    weights: Mapping[str, str] = {}


class FileEntry(Struct, frozen=True):
    """The digest and size of a file in a manifest."""

    sha256: str
    bytes: int


class Manifest(Struct, frozen=True, omit_defaults=True):
    """Every file of an artifact folder, by its name relative to the folder; `weights` are the names of the files of
    external weights."""

    files: dict[str, FileEntry]
    weights: tuple[str, ...] = ()

    def weight_digests(self) -> dict[str, str]:
        """The SHA-256 of each file of weights, by its name."""
        return {name: self.files[name].sha256 for name in self.weights}

    def identity(self) -> str:
        """The SHA-256 of the model with its weights (`identity_of`)."""
        return identity_of(self.files[MODEL].sha256, self.weight_digests())


def checked_content(files: ModelFiles) -> bytes:
    """The content of the ONNX file, checked against the model's digest. External weights are not read.

    Raises:
        ModelFileError: the file does not match its digest, or cannot be read.
    """
    content = read(files)
    if identity_of(hashlib.sha256(content).hexdigest(), files.weights) != files.sha256:
        raise ModelFileError(f"{files.name}:{files.version}: {files.model.name} does not match its SHA-256")
    return content


def read(files: ModelFiles) -> bytes:
    """The bytes of the ONNX file.

    Raises:
        ModelFileError: the file cannot be read.
    """
    with reading_file(files.model):
        return files.model.read_bytes()


def unregistered_files(path: Path) -> ModelFiles:
    """A model file outside any registry, with the metadata beside it, if there is any.

    Raises:
        ModelFileError: the file is missing, a folder or unreadable, its metadata is not valid, or a file of external
            weights is missing.
    """
    if not path.is_file():
        raise NoModelFile(f"there is no model file {path}" if not path.exists() else f"{path} is not a file")
    weights = weights_of(path)
    sha256 = identity_of(digest(path), weights)
    described = metadata_path(path)
    metadata, written_for = _described(described) if described.is_file() else (None, "")
    version = metadata.version if metadata and written_for == sha256 else ""
    return ModelFiles(path, None, sha256, name_of(path), version or sha256[:12], metadata, weights)


def metadata_path(path: Path) -> Path:
    """The path of a model file's metadata, if it has any: ``model.metadata.json`` beside ``model.onnx``."""
    return path.with_name(f"{path.stem}.{METADATA}")


# ---- metadata ----------------------------------------------------------------------------------------------------


def dump_metadata(metadata: ModelMetadata, sha256: str | None = None) -> bytes:
    """The content of ``metadata.json``: the record, with its sample as nested lists (BYTES in base64).

    Args:
        sha256: the SHA-256 of the model file next to it. Only a model with this SHA-256 then gets the record's version.
    """
    sample = {name: _nested(value) for name, value in (metadata.sample or {}).items()}
    record = {**asdict(metadata), "sample": sample if metadata.sample is not None else None}
    record |= {"sha256": sha256} if sha256 else {}
    return msgspec.json.format(msgspec.json.encode(record), indent=2)


def load_metadata(path: Path) -> ModelMetadata:
    """Reads ``metadata.json``; the sample becomes arrays of the datatypes that the inputs declare.

    Raises:
        ModelFileError: the file is missing or does not describe a model.
    """
    return _described(path)[0]


def _described(path: Path) -> tuple[ModelMetadata, str]:
    with reading_file(path):
        content = path.read_bytes()
    return parse_metadata(content, path.name)


def parse_metadata(content: bytes, what: str) -> tuple[ModelMetadata, str]:
    """The record that `dump_metadata` wrote, and the SHA-256 of the model to which its version belongs; empty if the
    record has none, for example if it was written by hand.

    Args:
        what: the name of the source in error texts.

    Raises:
        ModelFileError: the content does not describe a model.
    """
    try:
        record = msgspec.json.decode(content, type=dict[str, Any])
        sample, written_for = record.pop("sample", None), msgspec.convert(record.get("sha256", ""), str)
        metadata = msgspec.convert(record, ModelMetadata)
        specs = {spec.name: spec for spec in metadata.inputs}
        arrays = {name: _array(value, specs[name].datatype) for name, value in (sample or {}).items()}
        return replace(metadata, sample=arrays if sample is not None else None), written_for
    except (msgspec.MsgspecError, KeyError, ValueError, TypeError) as error:
        raise ModelFileError(f"{what} does not describe a model: {error}") from error


def _nested(value: Array) -> Any:
    if value.dtype != object:
        return value.tolist()
    texts = [b64encode(item if isinstance(item, bytes) else str(item).encode()).decode() for item in value.flat]
    return np.array(texts, dtype=object).reshape(value.shape).tolist()


def _array(value: Any, datatype: str) -> Array:
    array = np.array(value, dtype=DTYPES[datatype])
    if datatype != "BYTES":
        return array
    decoded = np.empty(array.size, dtype=object)
    decoded[:] = [b64decode(item, validate=True) for item in array.flat]
    return decoded.reshape(array.shape)


# ---- manifest ----------------------------------------------------------------------------------------------------


def dump_manifest(files: Mapping[str, bytes]) -> bytes:
    """The content of ``manifest.json`` for files by name; sorted, so that equal files give equal bytes.

    Raises:
        ModelFileError: a file of the model's external weights is not among `files`.
    """
    entries = {
        name: FileEntry(hashlib.sha256(content).hexdigest(), len(content)) for name, content in sorted(files.items())
    }
    weights = external_files(files[MODEL]) if MODEL in files else ()
    if missing := [name for name in weights if name not in files]:
        raise ModelFileError(f"{MODEL} keeps weights in {missing[0]}, which is not among the files of the model")
    return msgspec.json.format(msgspec.json.encode(Manifest(entries, weights)), indent=2)


def verify(folder: Path, *, what: str | None = None, sha256: str | None = None) -> Manifest:
    """Checks every file of an artifact folder against its manifest.

    Args:
        what: the name of the model in error texts; by default the folder's name.
        sha256: the digest that the manifest itself must have, if it is known.

    Raises:
        ModelFileError: a file is missing or has other bytes; the text names the first.
    """
    what = what or folder.name
    manifest = read_manifest(folder, what, sha256)
    for name, entry in manifest.files.items():
        path = folder / name
        if not path.is_file():
            raise ModelFileError(f"{what}: {name} is missing; {AGAIN}")
        if path.stat().st_size != entry.bytes or digest(path) != entry.sha256:
            raise ModelFileError(f"{what}: {name} does not match its SHA-256; {AGAIN}")
    return manifest


def read_manifest(folder: Path, what: str, sha256: str | None = None) -> Manifest:
    """The manifest of an artifact folder. Its files are not checked. Raises as `verify` does for the manifest."""
    path = folder / MANIFEST
    if not path.is_file():
        raise ModelFileError(f"{what}: {MANIFEST} is missing; {AGAIN}")
    with reading_file(path):
        content = path.read_bytes()
    if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
        raise ModelFileError(f"{what}: {MANIFEST} is not the one that was registered; {AGAIN}")
    try:
        manifest = msgspec.json.decode(content, type=Manifest)
    except msgspec.MsgspecError as error:
        raise ModelFileError(f"{what}: {MANIFEST} is not a manifest; {AGAIN}") from error
    for name in (MODEL, *manifest.weights):
        if name not in manifest.files:
            raise ModelFileError(f"{what}: the manifest lists no {name}; {AGAIN}")
    if not all(map(is_key, manifest.files)):
        raise ModelFileError(f"{what}: the manifest names a file outside its folder")
    return manifest
