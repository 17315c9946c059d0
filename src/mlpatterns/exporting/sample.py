"""Reads the sample for an export: the rows as the model takes them, and the columns in types for ONNX."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from msgspec import Struct

from mlpatterns.exporting.source import first_line
from mlpatterns.metadata import Array
from mlpatterns.user_errors import UserError

__all__ = ["ExportSample", "as_float32", "read_sample"]

FORMS = "a numpy array, a list of rows, a DataFrame, a dict of columns or a torch tensor"


class ExportSample(Struct):
    """A sample of rows.

    Attributes:
        rows: the rows as they are passed to the model.
        columns: for a table, its columns by name, each [rows] of numbers, booleans, text (missing text is empty), or
            objects that ONNX has no type for; empty for an array.
        array: for an array, the array, [rows, …]; None for a table.
    """

    rows: Any
    columns: Mapping[str, Array]
    array: Array | None = None


def read_sample(sample: Any) -> ExportSample:
    """Reads rows in any form of FORMS.

    Raises:
        UserError: there are no rows, or they have another form.
    """
    if isinstance(sample, dict) or (isinstance(sample, list) and sample and isinstance(sample[0], dict)):
        sample = _frame(sample)
    if hasattr(sample, "columns") and hasattr(sample, "to_dict"):
        names = list(sample.columns)
        if len({str(name) for name in names}) != len(names):
            raise UserError("two columns of the sample have the same name; rename one")
        return _with_rows(ExportSample(sample, {str(name): _column(sample[name]) for name in names}))
    array = _array(sample)
    rows = sample if isinstance(sample, list) and array.dtype == object else array
    return _with_rows(ExportSample(rows, {}, array))


def as_float32(array: Array) -> Array:
    return array.astype(np.float32) if array.dtype.kind in "fiub" else array


def _with_rows(sample: ExportSample) -> ExportSample:
    arrays = [sample.array] if sample.array is not None else list(sample.columns.values())
    if not arrays or not len(arrays[0]) or 0 in arrays[0].shape:
        raise UserError("the sample has no rows; give some rows that the model can predict")
    return sample


def _frame(sample: Any) -> Any:
    try:
        import pandas as pd
    except ImportError:
        raise UserError("a sample by column names needs pandas: pip install pandas, or give an array") from None
    try:
        frame = pd.DataFrame(sample)
        return frame.astype({name: float for name in frame if frame[name].isna().all()})  # None alone has no type
    except Exception as error:  # pandas has no common base class for its errors
        raise UserError(f"the columns of the sample do not form a table: {first_line(error)}") from error


def _array(sample: Any) -> Array:
    if hasattr(sample, "detach"):
        sample = (sample.float() if str(sample.dtype) == "torch.bfloat16" else sample).detach().cpu().numpy()
    elif hasattr(sample, "toarray"):
        sample = sample.toarray()
    try:
        array = np.asarray(sample)
    except ValueError:
        raise UserError("the rows of the sample have different lengths; give each the same columns") from None
    if array.dtype.kind == "O" or (array.dtype.kind in "US" and not _all_text(sample)):
        array = _classified(np.asarray(sample, dtype=object), "the sample")
    if array.ndim == 0 or array.dtype.kind not in "fiubUO":
        raise UserError(f"the sample is a {type(sample).__name__}; give rows as {FORMS}")
    if array.ndim == 1 and array.dtype.kind in "fiub":
        raise UserError("the sample is one flat list; give a list of rows, [[…]], even if there is one row")
    return array.astype(object) if array.dtype.kind == "U" else array


def _all_text(sample: Any) -> bool:
    return all(isinstance(item, str) for item in np.asarray(sample, dtype=object).flat)


def _classified(items: Array, what: str) -> Array:
    """An array of objects as text, booleans, integers or floats, if all items are of that kind."""
    missing = np.array([_is_missing(item) for item in items.flat], dtype=bool).reshape(items.shape)
    present = items[~missing]
    if all(isinstance(item, str) for item in present):
        text = items.copy()
        text[missing] = ""
        return text
    if all(isinstance(item, (bool, np.bool_)) for item in present) and not missing.any():
        return items.astype(np.bool_)
    if all(isinstance(item, (int, np.integer)) for item in present) and not missing.any():
        return _whole(items)
    if all(isinstance(item, (int, float, np.number, np.bool_)) for item in present):
        numbers = items.copy()
        numbers[missing] = np.nan
        return numbers.astype(np.float64)
    if what == "the sample":
        raise UserError("the sample mixes text and numbers; give a DataFrame, where each column has its own type")
    return items


def _whole(items: Array) -> Array:
    try:
        return items.astype(np.int64)
    except OverflowError:
        raise UserError("the sample holds a whole number that needs more than 64 bits") from None


def _is_missing(item: Any) -> bool:
    if item is None or type(item).__name__ in ("NAType", "NaTType"):  # missing values of pandas
        return True
    return isinstance(item, (float, np.floating)) and bool(np.isnan(item))


def _column(series: Any) -> Array:
    """A column of a pandas or polars table, [rows]."""
    kind = getattr(series.dtype, "kind", "")
    if kind and kind in "iufb" and hasattr(series, "isna") and series.isna().any():
        return np.asarray(series.to_numpy(dtype=np.float64, na_value=np.nan))
    values = np.asarray(series.to_numpy() if kind != "O" else series.astype(object).to_numpy())
    if values.dtype.kind in "US":
        return values.astype(object)
    return _classified(values, "a column") if values.dtype == object else values
