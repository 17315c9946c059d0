"""From a fitted scikit-learn estimator to ONNX bytes."""

from __future__ import annotations

import warnings
from typing import Any

from mlpatterns.metadata import TensorSpec
from mlpatterns.user_errors import MissingExtra

__all__ = ["OPSETS", "convert", "export_sklearn"]

# ONNX Runtime of the last years runs these, edge builds too; newer ones bring nothing to such models.
OPSETS = {"": 17, "ai.onnx.ml": 3}


def export_sklearn(estimator: Any, spec: TensorSpec, outputs: tuple[TensorSpec, ...], *, name: str) -> bytes:
    """The canonical ONNX of a fitted classifier; equal estimators give equal bytes.

    Args:
        spec: its one input, FP32 with shape [-1, n].
        outputs: names and types to give its outputs, in the estimator's order (class, then probabilities).
        name: the graph's name.

    Raises:
        MissingExtra: without skl2onnx.
    """
    model = convert(estimator, spec, outputs, name=name)
    from mlpatterns.training.canonical import canonical

    return canonical(model, name=name)


def convert(estimator: Any, spec: TensorSpec, outputs: tuple[TensorSpec, ...], *, name: str) -> Any:
    """What skl2onnx makes of a fitted estimator, a ModelProto; the arguments are those of `export_sklearn`.

    Without `outputs` they keep the names that skl2onnx gives them.
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
        # skl2onnx still reads SVC.probA_ and probB_, which scikit-learn 1.9 deprecates; no use of ours.
        warnings.filterwarnings("ignore", message="Attribute `prob[AB]_` was deprecated", category=FutureWarning)
        return convert_sklearn(
            estimator,
            name=name,
            initial_types=[typed(spec)],
            final_types=[typed(output) for output in outputs] or None,
            options={"zipmap": False} if is_classifier(estimator) else None,
            target_opset=OPSETS,
        )
