"""The sample that a user gives for a model: arrays by input, or the rows of a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mlpatterns.errors import InvalidInput
from mlpatterns.metadata import DTYPES, Array, TensorSpec
from mlpatterns.models.sample.file import read_sample
from mlpatterns.tensors import validate
from mlpatterns.user_errors import SettingsError

__all__ = ["Sample", "first_row", "sample_rows"]

Sample = Mapping[str, Any] | str | Path


def sample_rows(sample: Sample, inputs: Sequence[TensorSpec]) -> dict[str, Array]:
    """All rows of a sample as inputs by name, in the datatypes and shapes of the model.

    Raises:
        UserError: the sample cannot be read, or does not fit the model.
    """
    known = {spec.name: spec for spec in inputs}
    if isinstance(sample, Mapping):
        what, arrays = "the sample", dict(sample)
    else:
        required = [spec for spec in inputs if not spec.optional]
        what, arrays = f"the sample {Path(sample).name}", dict(read_sample(Path(sample), required))
    rows = {name: _cast(value, known[name], what) if name in known else np.asarray(value)
            for name, value in arrays.items()}  # fmt: skip
    try:
        validate(rows, inputs)
    except InvalidInput as error:
        raise SettingsError(f"{what} is not what the model takes: {error}") from error
    for name, value in rows.items():
        _check_missing(value, known[name], what)
    return rows


def first_row(rows: Mapping[str, Array], inputs: Sequence[TensorSpec]) -> dict[str, Array]:
    """The first row of each input that has a variable first axis, and all rows of the other inputs."""
    free = {spec.name for spec in inputs if spec.shape[:1] == (-1,)}
    return {name: value[:1] if name in free else value for name, value in rows.items()}


def _cast(value: Any, spec: TensorSpec, what: str) -> Array:
    """`value` in the datatype of the model; strings become bytes. Only the precision of floats may be lost."""
    array, dtype = np.asarray(value), DTYPES[spec.datatype]
    if spec.datatype == "BYTES":
        if array.dtype.kind not in "OSU":
            raise SettingsError(f"{what} has numbers for {spec.name!r}, which holds strings")
        texts = np.empty(array.size, dtype=object)
        texts[:] = [text if isinstance(text, bytes) else str(text).encode() for text in array.flat]
        return texts.reshape(array.shape)
    if array.dtype.kind not in "biuf":
        raise SettingsError(f"{what} has no numbers for {spec.name!r}, which is {spec.datatype}")
    with np.errstate(invalid="ignore", over="ignore"):
        cast = array.astype(dtype)
    if dtype.kind != "f" and not np.array_equal(cast, array):
        raise SettingsError(f"{what} has values for {spec.name!r} that {spec.datatype} cannot hold")
    return cast


def _check_missing(value: Array, spec: TensorSpec, what: str) -> None:
    """Checks that values are missing only where null is accepted, because a sample must also be a valid request."""
    if value.dtype.kind != "f" or (spec.missing and not spec.missing_fields):
        return
    gaps = np.isnan(value)
    names = [spec.name]
    if spec.fields and value.ndim:
        places = {*np.nonzero(gaps)[-1].tolist()}
        names = [field for place, field in enumerate(spec.fields)
                 if place in places and field not in spec.missing_fields]  # fmt: skip
    if gaps.any() and names:
        raise SettingsError(f"{what} lacks a value of {', '.join(names)}; name it in --missing if it may be missing")
