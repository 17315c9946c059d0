"""Exports LightGBM and XGBoost: registers the converters for their estimators, and converts their Boosters."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from mlpatterns.exporting.answers import as_class
from mlpatterns.exporting.sample import ExportSample, as_float32
from mlpatterns.exporting.source import Draft, ExportSource, refused_sample
from mlpatterns.metadata import Array
from mlpatterns.user_errors import MissingExtra, UserError

__all__ = ["booster_source", "converters_registered", "library_of", "plain_features"]

LIBRARIES = ("lightgbm", "xgboost")
OPSET = 15  # the newest that onnxmltools writes
ESTIMATORS = {
    "lightgbm": {"LGBMClassifier": True, "LGBMRegressor": False, "LGBMRanker": False},
    "xgboost": {"XGBClassifier": True, "XGBRFClassifier": True, "XGBRegressor": False, "XGBRFRegressor": False},
}  # fmt: skip


def library_of(model: Any) -> str:
    """The top-level package of the model's class."""
    return type(model).__module__.partition(".")[0]


def converters_registered(steps: Sequence[Any]) -> None:
    """Registers converters in skl2onnx for the estimators of these libraries among `steps`.

    Raises:
        MissingExtra: onnxmltools is not installed.
    """
    for library in {library_of(step) for step in steps} & set(LIBRARIES):
        _register(library)


def _register(library: str) -> None:
    from importlib import import_module

    from skl2onnx import update_registered_converter
    from skl2onnx.common import shape_calculator as shapes

    convert = _converter(library)
    for name, classifies in ESTIMATORS[library].items():
        kind = "classifier" if classifies else "regressor"
        options: dict[str, Any] = {"zipmap": [True, False], "nocl": [True, False]} if classifies else {}
        options |= {"split": None} if (library, classifies) == ("lightgbm", False) else {}
        update_registered_converter(
            getattr(import_module(library), name), f"mlpatterns{name}",
            getattr(shapes, f"calculate_linear_{kind}_output_shapes"), convert, options=options,
        )  # fmt: skip


def _converter(library: str) -> Any:
    try:
        if library == "lightgbm":
            from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm as convert
        else:
            from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost as convert
    except ImportError as error:
        raise MissingExtra("exporting a model of LightGBM or XGBoost", "train") from error
    return convert


@contextmanager
def plain_features(step: Any) -> Iterator[None]:
    """Removes the column names from XGBoost's trees inside this context. The converter would read them as numbers."""
    booster: Any = None
    if library_of(step) == "xgboost":
        booster = step.get_booster() if hasattr(step, "get_booster") else step
    names = getattr(booster, "feature_names", None)
    if names is None:
        yield
        return
    booster.feature_names = None
    try:
        yield
    finally:
        booster.feature_names = names


# ---- Boosters ----------------------------------------------------------------------------------------------------


def booster_source(model: Any, sample: ExportSample) -> ExportSource:
    """A Booster and its answers to a sample: ``label`` and ``probabilities`` of a classifier, else ``value``.

    Raises:
        MissingExtra: onnxmltools is not installed.
        UserError: the Booster does not predict the sample, or the sample is not only numbers.
    """
    library = library_of(model)
    rows = sample.array if sample.array is not None else np.stack(list(sample.columns.values()), axis=1)
    if rows.dtype.kind not in "fiub" or rows.ndim != 2:
        raise UserError(
            f"a Booster of {library} takes rows of numbers; put the encoder of the text and it into one pipeline"
        )
    _converter(library)
    model = _with_probabilities(model)
    try:
        objective, answer, names = (_lightgbm if library == "lightgbm" else _xgboost)(model, rows)
    except Exception as error:
        raise refused_sample("Booster", error) from error
    expected, primary = _outputs(objective, answer)
    inputs = {"input": as_float32(rows)}
    known = tuple(sample.columns) or tuple(names)
    draft = Draft(inputs, lambda: _convert(model, rows.shape[1]), known if len(known) == rows.shape[1] else ())
    labels = as_class(np.arange(expected[primary].shape[1])) if primary == "probabilities" else ()
    return ExportSource(f"Booster of {library}", expected, [draft], primary, labels)


def _outputs(objective: str, answer: Array) -> tuple[dict[str, Array], str]:
    answer = answer.astype(np.float32)
    if objective.startswith("binary") and answer.ndim == 1:
        answer = np.stack([1 - answer, answer], axis=1)
    elif not objective.startswith("multi"):
        return {"value": answer.reshape(len(answer), -1)}, "value"
    return {"label": answer.argmax(axis=1), "probabilities": answer}, "probabilities"


def _lightgbm(model: Any, rows: Array) -> tuple[str, Array, list[str]]:
    # LightGBM names the columns of an array Column_0, Column_1 …
    names = [name for name in model.feature_name() if not name.startswith("Column_")]
    return str(model.dump_model()["objective"]), np.asarray(model.predict(rows)), names


def _xgboost(model: Any, rows: Array) -> tuple[str, Array, list[str]]:
    from xgboost import DMatrix

    names = model.feature_names
    return _objective(model), model.predict(DMatrix(rows, feature_names=names)), names or []


def _objective(model: Any) -> str:
    name: str = json.loads(model.save_config())["learner"]["objective"]["name"]
    return name


def _with_probabilities(model: Any) -> Any:
    """If an XGBoost Booster answers only with classes, a copy that answers with probabilities; else `model` itself."""
    if library_of(model) != "xgboost" or _objective(model) != "multi:softmax":
        return model
    copied = model.copy()
    copied.set_param({"objective": "multi:softprob"})
    return copied


def _convert(model: Any, columns: int) -> Any:
    import onnxmltools
    from onnxmltools.convert.common.data_types import FloatTensorType

    types = [("input", FloatTensorType([None, columns]))]
    if library_of(model) == "lightgbm":
        return onnxmltools.convert_lightgbm(model, initial_types=types, zipmap=False, target_opset=OPSET)
    with plain_features(model):
        return onnxmltools.convert_xgboost(model, initial_types=types, target_opset=OPSET)
