"""Adds the user's description of a model's columns to its metadata: their names, and which of them may miss values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec.structs import replace

from mlpatterns.metadata import ModelMetadata, TensorSpec
from mlpatterns.user_errors import SettingsError

__all__ = ["with_columns", "with_missing"]

ALL = "all"


def with_columns(metadata: ModelMetadata, columns: Sequence[str]) -> ModelMetadata:
    """`metadata` with these column names for its one input.

    Raises:
        SettingsError: the model has several required inputs, no columns, or another number of columns.
    """
    if not columns:
        return metadata
    required = [spec for spec in metadata.inputs if not spec.optional]
    if len(required) != 1:
        names = ", ".join(spec.name for spec in required)
        raise SettingsError(f"column names are for a model with one input, but this one has {len(required)} "
                            f"({names}), which have names already; leave --columns out")  # fmt: skip
    (spec,) = required
    if len(spec.shape) != 2:
        raise SettingsError(f"the model's {spec.name!r} has the shape {list(spec.shape)}, so it has no columns to "
                            "name; leave --columns out")  # fmt: skip
    if spec.shape[1] not in (-1, len(columns)):
        raise SettingsError(f"the number of column names is {len(columns)}, but the model's {spec.name!r} has "
                            f"{spec.shape[1]} columns; give each a name")  # fmt: skip
    shape = (spec.shape[0], len(columns))
    return _with(metadata, replace(spec, shape=shape, fields=tuple(columns), missing_fields=()))


def with_missing(metadata: ModelMetadata, missing: Sequence[str] | Literal["all"]) -> ModelMetadata:
    """`metadata` that allows missing values in these columns or inputs; "all" means every float input.

    Raises:
        SettingsError: there is no such column or input, or its datatype has no NaN.
    """
    names = [missing] if isinstance(missing, str) else list(missing)
    known = [spec.name for spec in metadata.inputs] + [field for spec in metadata.inputs for field in spec.fields]
    if names == [ALL] and ALL not in known:
        floats = [spec for spec in metadata.inputs if _has_nan(spec)]
        if not floats:
            raise SettingsError("no input of the model holds floats, so no value of it can be missing; "
                                "leave --missing out")  # fmt: skip
        return _with(metadata, *(replace(spec, missing=True, missing_fields=()) for spec in floats))
    for name in names:
        metadata = _with(metadata, _allowing(_owner(metadata, name, known), name))
    return metadata


def _allowing(spec: TensorSpec, name: str) -> TensorSpec:
    if not _has_nan(spec):
        raise SettingsError(f"{name!r} is {spec.datatype}, which has no NaN for a missing value; "
                            "leave it out of --missing")  # fmt: skip
    if name == spec.name and name not in spec.fields:
        return replace(spec, missing=True, missing_fields=())
    if spec.missing and not spec.missing_fields:  # all columns are allowed already
        return spec
    fields = tuple(field for field in spec.fields if field == name or field in spec.missing_fields)
    return replace(spec, missing=True, missing_fields=() if fields == spec.fields else fields)


def _owner(metadata: ModelMetadata, name: str, known: Sequence[str]) -> TensorSpec:
    for spec in metadata.inputs:
        if name == spec.name or name in spec.fields:
            return spec
    unnamed = len(metadata.inputs) == 1 and not metadata.inputs[0].fields
    hint = "; --columns gives columns their names" if unnamed else ""
    raise SettingsError(f"--missing names {name!r}, but the model has {', '.join(known)}{hint}")


def _has_nan(spec: TensorSpec) -> bool:
    return spec.datatype.startswith("FP")


def _with(metadata: ModelMetadata, *specs: TensorSpec) -> ModelMetadata:
    changed = {spec.name: spec for spec in specs}
    return replace(metadata, inputs=tuple(changed.get(spec.name, spec) for spec in metadata.inputs))
