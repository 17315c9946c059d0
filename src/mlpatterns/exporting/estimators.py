"""Estimators of scikit-learn, and of LightGBM and XGBoost by the same methods, alone or in pipelines."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np

from mlpatterns.errors import MissingExtra, UserError
from mlpatterns.exporting.answers import Answers, estimator_answers, named
from mlpatterns.exporting.boosters import converters_registered, plain_features
from mlpatterns.exporting.graph import add_constant, add_node
from mlpatterns.exporting.sample import Sample, as_float32
from mlpatterns.exporting.source import Draft, Source, first_line, refused_sample
from mlpatterns.metadata import Array
from mlpatterns.training.export import OPSETS

__all__ = ["estimator_source"]


def estimator_source(model: Any, sample: Sample) -> Source:
    """A fitted estimator or pipeline with what it answers to a sample.

    Raises:
        MissingExtra: without skl2onnx.
        UserError: it is not fitted, or does not predict the sample.
    """
    try:
        import skl2onnx  # noqa: F401
    except ImportError as error:
        raise MissingExtra("exporting an estimator", "train") from error
    model = getattr(model, "best_estimator_", model)
    kind = type(_last(model)).__name__
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a numpy array has no column names, and the like
            answers = estimator_answers(model, sample.given)
    except UserError:
        raise
    except Exception as error:
        raise refused_sample(kind, error) from error
    steps = list(_parts(model))
    inputs = _inputs(sample, any(type(step).__name__ == "ColumnTransformer" for step in steps))
    names = named(answers.outputs, inputs[0])
    expected = {names[name]: value for name, value in answers.outputs.items()}
    drafts = [_draft(model, steps, one, answers, sample) for one in inputs]
    return Source(kind, expected, drafts, names[answers.primary], answers.labels, answers.threshold)


def _last(model: Any) -> Any:
    return _last(model.steps[-1][1]) if hasattr(model, "steps") else model


def _parts(model: Any) -> Iterator[Any]:
    """The estimator and those in it, as they are fitted."""
    yield model
    for name in ("steps", "transformers_", "transformer_list", "estimators_", "calibrated_classifiers_"):
        for part in np.ravel(np.asarray(getattr(model, name, None) or [], dtype=object)).tolist():
            if hasattr(part, "get_params") or hasattr(part, "estimator"):
                yield from _parts(part)
    for name in ("estimator_", "final_estimator_", "estimator", "best_estimator_"):
        part = getattr(model, name, None)
        if hasattr(part, "get_params"):
            yield from _parts(part)


# ---- inputs ------------------------------------------------------------------------------------------------------


def _inputs(sample: Sample, by_name: bool) -> list[Mapping[str, Array]]:
    """The inputs to try, the best first: a table of one kind of column is one matrix, unless columns are chosen by
    name; then, or where text and numbers are mixed, each column is an input of its own type.

    Whole numbers and booleans are tried as they are, then as floats, since some steps join columns of one type only;
    floats are float32, then float64 where float32 loses too much.
    """
    if sample.array is not None:
        one = {"input": sample.array.reshape(len(sample.array), -1) if sample.array.ndim == 1 else sample.array}
    elif not by_name and len(kinds := {_kind(value) for value in sample.columns.values()}) == 1 and kinds < {"f", "O"}:
        one = {"input": np.stack(list(sample.columns.values()), axis=1)}
    else:
        one = {name: value.reshape(-1, 1) for name, value in sample.columns.items()}
        own = {name: _served(value) for name, value in one.items()}
        return [own, {name: as_float32(value) for name, value in own.items()}, _doubled(one)]
    return [{name: as_float32(value) for name, value in one.items()}, _doubled(one)]


def _kind(values: Array) -> str:
    return "f" if values.dtype.kind in "fiub" else values.dtype.kind


def _served(values: Array) -> Array:
    """A column in a type that ONNX has: float32, int64, bool or text; what has none becomes text, and is refused later
    if a step reads it."""
    kinds = {"f": np.float32, "i": np.int64, "u": np.int64, "b": np.bool_}
    return values.astype(kinds[values.dtype.kind]) if values.dtype.kind in kinds else values.astype(str).astype(object)


def _doubled(inputs: Mapping[str, Array]) -> Mapping[str, Array]:
    return {name: value.astype(np.float64) if value.dtype.kind in "fiub" else _served(value)
            for name, value in inputs.items()}  # fmt: skip


# ---- conversion --------------------------------------------------------------------------------------------------


def _draft(model: Any, steps: Sequence[Any], inputs: Mapping[str, Array], answers: Answers, sample: Sample) -> Draft:
    def make() -> Any:
        made = _convert(model, steps, inputs)
        if "label" in answers.outputs and answers.threshold is not None and "outlier" not in answers.labels:
            _second_score_alone(made.graph)
        return made

    fields = _fields(model, sample, inputs)
    return Draft(inputs, make, fields)


def _fields(model: Any, sample: Sample, inputs: Mapping[str, Array]) -> tuple[str, ...]:
    if list(inputs) != ["input"] or inputs["input"].ndim != 2:
        return ()
    known = tuple(sample.columns) or tuple(str(name) for name in getattr(model, "feature_names_in_", ()))
    return known if len(known) == inputs["input"].shape[1] else ()


def _convert(model: Any, steps: Sequence[Any], inputs: Mapping[str, Array]) -> Any:
    from skl2onnx import convert_sklearn
    from skl2onnx.common.exceptions import MissingConverter, MissingShapeCalculator

    types = [(name, _typed(name, value)) for name, value in inputs.items()]
    last = _last(model)
    options = {id(last): {"zipmap": False} if _has_zipmap(last) else {}}
    try:
        with _prepared(steps), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return convert_sklearn(model, initial_types=types, target_opset=OPSETS, options=options)
    except (MissingConverter, MissingShapeCalculator) as error:
        raise _no_converter(model, error) from error


def _typed(name: str, value: Array) -> Any:
    from skl2onnx.common import data_types

    kinds = {"float32": "Float", "float64": "Double", "int64": "Int64", "bool": "Boolean", "object": "String"}
    return getattr(data_types, f"{kinds[value.dtype.name]}TensorType")([None, *value.shape[1:]])


def _has_zipmap(model: Any) -> bool:
    """Whether skl2onnx would end its graph in maps and can be told not to: it refuses an option that it does not know."""
    from sklearn.base import is_classifier

    return is_classifier(model) and type(model).__name__ != "LinearSVC"


@contextmanager
def _prepared(steps: Sequence[Any]) -> Iterator[None]:
    """Estimators as the converters want them, and afterwards as they were."""
    with ExitStack() as stack:
        converters_registered(steps)
        for step in steps:
            stack.enter_context(plain_features(step))
            if type(step).__name__ == "VotingClassifier":  # it decides how `transform` answers, which no graph does
                stack.enter_context(_changed(step, "flatten_transform", False))
            if type(step).__name__ == "SimpleImputer" and np.asarray(step.statistics_).dtype == object:
                stack.enter_context(_changed(step, "missing_values", ""))  # ONNX has no NaN among texts
        yield


@contextmanager
def _changed(step: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(step, name)
    setattr(step, name, value)
    try:
        yield
    finally:
        setattr(step, name, before)


def _second_score_alone(graph: Any) -> None:
    """One score for two classes, where skl2onnx may answer with its opposite before it."""
    scores = graph.output[1]
    last = add_constant(graph, "exported_last", np.array([-1], np.int64))
    add_node(graph, "Gather", [scores.name, last], "exported_score", axis=1)
    scores.name = "exported_score"


def _no_converter(model: Any, error: Exception) -> UserError:
    import re

    found = re.search(r"<class '([\w.]+)'>", str(error))
    name = found[1].rpartition(".")[2] if found else type(_last(model)).__name__
    return UserError(
        f"{name} has no ONNX converter (skl2onnx knows none); use another estimator in its place, or serve the model "
        "by a PythonModel"
    )
