"""Converts a fitted scikit-learn estimator to ONNX bytes."""

from __future__ import annotations

import warnings
from typing import Any

from mlpatterns.metadata import TensorSpec
from mlpatterns.user_errors import MissingExtra

__all__ = ["OPSETS", "convert", "export_sklearn"]

# Every recent ONNX Runtime supports these, including builds for edge devices; newer ones do not improve such models.
OPSETS = {"": 17, "ai.onnx.ml": 3}


def export_sklearn(estimator: Any, spec: TensorSpec, outputs: tuple[TensorSpec, ...], *, name: str) -> bytes:
    """The canonical ONNX of a fitted classifier; equal estimators give equal bytes.

    Args:
        spec: its one input, FP32 with shape [-1, n].
        outputs: the names and types for its outputs, in the order of the estimator (class, then probabilities).
        name: the name for the graph.

    Raises:
        MissingExtra: skl2onnx is not installed.
    """
    model = convert(estimator, spec, outputs, name=name)
    from mlpatterns.training.canonical import canonical

    return canonical(model, name=name)


def convert(estimator: Any, spec: TensorSpec, outputs: tuple[TensorSpec, ...], *, name: str) -> Any:
    """The ModelProto that skl2onnx makes of a fitted estimator; the arguments are those of `export_sklearn`.

    If `outputs` is empty, the outputs keep the names that skl2onnx gives them.
    """
    try:
        from skl2onnx import convert_sklearn
        from skl2onnx.common.data_types import FloatTensorType, Int64TensorType
        from sklearn.base import is_classifier
    except ImportError as error:
        raise MissingExtra("training", "train") from error
    kinds = {"FP32": FloatTensorType, "INT64": Int64TensorType}

    def typed(tensor: TensorSpec) -> tuple[str, Any]:
        return tensor.name, kinds[tensor.datatype]([None if size < 0 else size for size in tensor.shape])

    with warnings.catch_warnings():
        # skl2onnx still reads SVC.probA_ and probB_, which scikit-learn 1.9 deprecates; this code does not use them.
        warnings.filterwarnings("ignore", message="Attribute `prob[AB]_` was deprecated", category=FutureWarning)
        return convert_sklearn(
            estimator,
            name=name,
            initial_types=[typed(spec)],
            final_types=[typed(output) for output in outputs] or None,
            options={"zipmap": False} if is_classifier(estimator) else None,
            target_opset=OPSETS,
        )
