"""Exports estimators of scikit-learn, and those of LightGBM and XGBoost with its methods, alone or in pipelines."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from mlpatterns.exporting.answers import OUTLIER, EstimatorAnswers, estimator_answers, output_names
from mlpatterns.exporting.conversion import convert, last_step, locales
from mlpatterns.exporting.sample import ExportSample, as_float32
from mlpatterns.exporting.source import Draft, ExportSource, refused_sample
from mlpatterns.metadata import Array
from mlpatterns.user_errors import MissingExtra, UserError

__all__ = ["estimator_source"]

PARTS = (  # attributes in which scikit-learn keeps the inner estimators of an estimator
    "steps", "transformers_", "transformer_list", "estimators_", "calibrated_classifiers_", "estimator_",
    "final_estimator_", "estimator", "best_estimator_",
)  # fmt: skip


def estimator_source(model: Any, sample: ExportSample) -> ExportSource:
    """A fitted estimator or pipeline, with its answers to a sample.

    Raises:
        MissingExtra: skl2onnx is not installed.
        UserError: the estimator is not fitted, or does not predict the sample.
    """
    try:
        import skl2onnx  # noqa: F401
    except ImportError as error:
        raise MissingExtra("exporting an estimator", "train") from error
    model = getattr(model, "best_estimator_", model)
    kind = type(last_step(model)).__name__
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as: a numpy array has no column names
            answers = estimator_answers(model, sample.rows)
    except UserError:
        raise
    except Exception as error:
        raise refused_sample(kind, error) from error
    steps = list(_parts(model))
    inputs = _inputs(kind, sample, any(type(step).__name__ == "ColumnTransformer" for step in steps))
    names = output_names(answers.outputs, inputs[0])
    expected = {names[name]: value for name, value in answers.outputs.items()}
    column = _score_column(model, answers)
    drafts = [Draft(one, partial(convert, model, steps, one, column, locale), _fields(model, sample, one))
              for one in inputs for locale in locales(steps)]  # fmt: skip
    return ExportSource(
        kind, expected, drafts, names[answers.primary], answers.labels, answers.threshold, _untyped(sample)
    )


def _parts(model: Any) -> Iterator[Any]:
    """The estimator and its inner estimators, all fitted."""
    yield model
    for name in PARTS:
        for part in _flat(getattr(model, name, None)):
            if hasattr(part, "get_params") or hasattr(part, "calibrators"):
                yield from _parts(part)


def _flat(value: Any) -> Iterator[Any]:
    """The items of nested lists, tuples and arrays. A step is a tuple that also holds its name."""
    if isinstance(value, (list, tuple)) or (isinstance(value, np.ndarray) and value.dtype == object and value.ndim):
        for part in value:
            yield from _flat(part)
    else:
        yield value


# ---- inputs ------------------------------------------------------------------------------------------------------


def _inputs(kind: str, sample: ExportSample, by_name: bool) -> list[Mapping[str, Array]]:
    """The inputs to try, best first. A table becomes one matrix, unless the model selects columns by name; then each
    column becomes an input of its own type.

    With an input for each column, integers and booleans are tried as they are, then as floats, because some steps join
    only columns of one type. Floats are tried as float32, then as float64, because float32 may lose too much.

    Raises:
        UserError: the estimator takes numbers and text in one table, which no graph can.
    """
    if sample.array is not None:
        one = {"input": sample.array.reshape(len(sample.array), -1) if sample.array.ndim == 1 else sample.array}
    elif by_name:
        one = {name: value.reshape(-1, 1) for name, value in sample.columns.items()}
        own = {name: _served(value) for name, value in one.items()}
        return [own, {name: as_float32(value) for name, value in own.items()}, _doubled(one)]
    elif len({value.dtype.kind in "fiub" for value in sample.columns.values()}) == 1:
        one = {"input": np.stack(list(sample.columns.values()), axis=1)}
    else:
        raise UserError(
            f"{kind} takes text or categories beside numbers, which an ONNX graph cannot: encode them by a "
            "ColumnTransformer in one pipeline with it"
        )
    return [{name: as_float32(value) for name, value in one.items()}, _doubled(one)]


def _served(values: Array) -> Array:
    """A column in a type that ONNX has: float32, int64, bool or text. Other types (`_untyped`) become text for now,
    because the model may drop the column."""
    kinds = {"f": np.float32, "i": np.int64, "u": np.int64, "b": np.bool_}
    if values.dtype.kind in kinds:
        return values.astype(kinds[values.dtype.kind])
    texts = np.empty(values.size, dtype=object)
    texts[:] = [str(item) for item in values.flat]
    return texts.reshape(values.shape)


def _untyped(sample: ExportSample) -> Mapping[str, str]:
    """The columns that are neither numbers nor text, such as dates, with their types. As text, the graph would know
    only one spelling of a date, and would take any other for an unknown category."""
    found = {}
    for name, values in sample.columns.items():
        odd = next((item for item in values if not isinstance(item, str)), None) if values.dtype.kind == "O" else None
        if values.dtype.kind not in "fiubO" or odd is not None:
            found[name] = values.dtype.name if odd is None else type(odd).__name__
    return found


def _doubled(inputs: Mapping[str, Array]) -> Mapping[str, Array]:
    return {name: value.astype(np.float64) if value.dtype.kind in "fiub" else _served(value)
            for name, value in inputs.items()}  # fmt: skip


def _fields(model: Any, sample: ExportSample, inputs: Mapping[str, Array]) -> tuple[str, ...]:
    if list(inputs) != ["input"] or inputs["input"].ndim != 2:
        return ()
    known = tuple(sample.columns) or tuple(str(name) for name in getattr(model, "feature_names_in_", ()))
    return known if len(known) == inputs["input"].shape[1] else ()


def _score_column(model: Any, answers: EstimatorAnswers) -> int | None:
    """For a classifier with one score for two classes, the column of that score in the graph; else None. skl2onnx may
    add a column with the negated score: after the score for an SVC, else before it."""
    if answers.threshold is None or answers.labels == OUTLIER:
        return None
    return 0 if type(last_step(model)).__name__ in ("SVC", "NuSVC") else -1
