"""Reads the file MLmodel of a model in MLflow. The author of this file is not trusted."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Any

import msgspec
from msgspec import Struct

from mlpatterns.user_errors import MissingExtra, ModelFileError

__all__ = ["LARGEST", "MLMODEL", "MlflowModel", "plain_path", "read_mlmodel"]

MLMODEL = "MLmodel"
LARGEST = 1 << 20  # bytes of an MLmodel file
SHOWN = 8  # flavors that an error text names
PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,254}")


class MlflowModel(Struct, frozen=True):
    """A model that has an ONNX flavor.

    Attributes:
        data: the path of the ONNX file, relative to the model's folder.
        columns: the column names of its signature; empty if the signature has tensors instead.
    """

    data: str
    columns: tuple[str, ...] = ()


class _Signature(Struct, frozen=True):
    inputs: str | None = None  # JSON, written as text


class _MlmodelFile(Struct, frozen=True):
    flavors: dict[str, dict[str, Any]]
    signature: _Signature | None = None


class _Column(Struct, frozen=True):
    name: str
    type: str


def read_mlmodel(content: bytes) -> MlflowModel:
    """Reads an MLmodel file.

    Raises:
        ModelFileError: `content` is not an MLmodel file, has no ONNX flavor, or names a file outside its folder.
        MissingExtra: the YAML library is not installed.
    """
    try:
        import yaml
    except ImportError as error:
        raise MissingExtra("reading MLflow's models", "mlflow") from error

    try:
        file = msgspec.convert(yaml.safe_load(content), _MlmodelFile)
    except (yaml.YAMLError, msgspec.ValidationError, ValueError, TypeError, RecursionError) as error:
        raise ModelFileError(f"{MLMODEL} does not describe a model of MLflow") from error
    if "onnx" not in file.flavors:
        raise ModelFileError(_others(sorted(file.flavors)))
    data = file.flavors["onnx"].get("data")
    if not isinstance(data, str):
        raise ModelFileError(f"{MLMODEL} has an ONNX flavor that names no file")
    return MlflowModel(plain_path(data), _columns(file.signature))


def plain_path(text: str) -> str:
    """`text` as a relative path of plain names, which cannot leave its folder.

    Raises:
        ModelFileError: `text` is not such a path.
    """
    parts = PurePosixPath(text).parts
    if not parts or "\\" in text or not all(PART.fullmatch(part) for part in parts):
        raise ModelFileError(f"the model names a file that is not a plain path below it: {text[:80]!r}")
    return "/".join(parts)


def _others(flavors: list[str]) -> str:
    named = ", ".join(flavor[:40] for flavor in flavors[:SHOWN]) or "none"
    return f"the model has no ONNX flavor (it has: {named}); log it with mlflow.onnx.log_model, or export it to ONNX"


def _columns(signature: _Signature | None) -> tuple[str, ...]:
    """The column names; none if the signature has tensors or cannot be read, because the model does not need them."""
    try:
        found = msgspec.json.decode((signature and signature.inputs) or "[]", type=list[_Column])
    except (msgspec.MsgspecError, UnicodeError):
        return ()
    names = tuple(column.name for column in found if column.type != "tensor")
    return names if len(set(names)) == len(found) else ()
