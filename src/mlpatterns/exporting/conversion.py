"""Converts estimators with skl2onnx: without ZipMaps, with all converters, and with workarounds for some estimators."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np

from mlpatterns.exporting.boosters import converters_registered, plain_features
from mlpatterns.exporting.graph import add_constant, add_node
from mlpatterns.metadata import Array
from mlpatterns.training.export import OPSETS
from mlpatterns.user_errors import UserError

__all__ = ["convert", "last_step", "locales"]


def last_step(model: Any) -> Any:
    """The estimator that answers; the last step of a pipeline."""
    return last_step(model.steps[-1][1]) if hasattr(model, "steps") else model


def locales(steps: Sequence[Any]) -> tuple[str, ...]:
    """The locales to try for text: one that containers also have, then one that every system has."""
    return ("C.UTF-8", "C") if any(_is_vectorizer(step) for step in steps) else ("",)


def convert(model: Any, steps: Sequence[Any], inputs: Mapping[str, Array], column: int | None, locale: str) -> Any:
    """The ModelProto of a fitted estimator or pipeline.

    Args:
        steps: the estimators in it.
        inputs: arrays by input name; the inputs get their types and shapes.
        column: if there is one score for two classes, the column of that score.
        locale: the locale for lower-case conversion of text.

    Raises:
        MissingExtra: onnxmltools is needed and is not installed.
        UserError: an estimator has no converter. skl2onnx itself raises many other errors.
    """
    from skl2onnx import convert_sklearn
    from skl2onnx.common.exceptions import MissingConverter, MissingShapeCalculator

    types = [(name, _typed(name, value)) for name, value in inputs.items()]
    last = last_step(model)
    options = {id(last): _options_of_last(last)}
    options |= {id(step): {"locale": locale} for step in steps if _is_vectorizer(step)}
    try:
        with _prepared(steps), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = convert_sklearn(model, initial_types=types, target_opset=OPSETS, options=options)
    except (MissingConverter, MissingShapeCalculator) as error:
        raise _no_converter(model, error) from error
    if any(value.dtype == np.float64 for value in inputs.values()):
        _round_before_trees(made.graph, last)
    if column is not None:
        _score_alone(made.graph, column)
    return made


def _typed(name: str, value: Array) -> Any:
    from skl2onnx.common import data_types

    kinds = {"float32": "Float", "float64": "Double", "int64": "Int64", "bool": "Boolean", "object": "String"}
    return getattr(data_types, f"{kinds[value.dtype.name]}TensorType")([None, *value.shape[1:]])


def _options_of_last(step: Any) -> dict[str, Any]:
    """The options of the last step: no ZipMap, if it has that option. skl2onnx raises for options it does not know."""
    from sklearn.base import is_classifier

    return {"zipmap": False} if is_classifier(step) and type(step).__name__ != "LinearSVC" else {}


def _is_vectorizer(step: Any) -> bool:
    return type(step).__name__ in ("CountVectorizer", "TfidfVectorizer")


@contextmanager
def _prepared(steps: Sequence[Any]) -> Iterator[None]:
    """Changes estimators inside this context so that the converters can read them."""
    with ExitStack() as stack:
        converters_registered(steps)
        for step in steps:
            stack.enter_context(plain_features(step))
            if type(step).__name__ == "VotingClassifier":  # affects only `transform`, which is not exported
                stack.enter_context(_changed(step, "flatten_transform", False))
            # ONNX has no NaN in text tensors: a missing text is empty.
            if type(step).__name__ == "SimpleImputer" and np.asarray(getattr(step, "statistics_", 0)).dtype == object:
                stack.enter_context(_changed(step, "missing_values", ""))
            if type(step).__name__ in ("OneHotEncoder", "OrdinalEncoder") and hasattr(step, "categories_"):
                stack.enter_context(_changed(step, "categories_", [_no_missing(one) for one in step.categories_]))
        yield


def _no_missing(categories: Array) -> Array:
    if categories.dtype != object or not any(isinstance(one, str) for one in categories):
        return categories
    return np.array([one if isinstance(one, str) else "" for one in categories], dtype=object)


@contextmanager
def _changed(step: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(step, name)
    setattr(step, name, value)
    try:
        yield
    finally:
        setattr(step, name, before)


def _round_before_trees(graph: Any, last: Any) -> None:
    """Adds a cast to float32 before trees whose library rounds its inputs to float32. Then values that earlier steps
    compute in float64 fall on the same side of a threshold. LightGBM's trees do not round."""
    from onnx import TensorProto

    if not type(last).__module__.startswith(("xgboost.", "sklearn.tree.", "sklearn.ensemble._forest")):
        return
    trees = [node for node in graph.node if node.op_type.startswith("TreeEnsemble")]
    for number, node in enumerate(trees):
        add_node(graph, "Cast", [node.input[0]], f"exported_rounded_{number}", to=TensorProto.FLOAT)
        cast = graph.node.pop()
        graph.node.insert(list(graph.node).index(node), cast)  # nodes must be in the order of execution
        node.input[0] = f"exported_rounded_{number}"


def _score_alone(graph: Any, column: int) -> None:
    scores = graph.output[1]
    index = add_constant(graph, "exported_column", np.array([column], np.int64))
    add_node(graph, "Gather", [scores.name, index], "exported_score", axis=1)
    scores.name = "exported_score"


def _no_converter(model: Any, error: Exception) -> UserError:
    found = re.search(r"<class '([\w.]+)'>", str(error))
    name = found[1].rpartition(".")[2] if found else type(last_step(model)).__name__
    return UserError(
        f"{name} has no ONNX converter (skl2onnx knows none); use another estimator in its place, or serve the model "
        "by a PythonModel"
    )
