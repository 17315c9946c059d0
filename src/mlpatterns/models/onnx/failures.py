"""Converts an error of ONNX Runtime to the error for the client: invalid input, exceeded deadline, or failed model."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping

from mlpatterns.errors import DeadlineExceeded, InternalError, InvalidInput, PredictionError
from mlpatterns.metadata import Array, ModelMetadata
from mlpatterns.redaction import quoted

__all__ = ["prediction_error"]

log = logging.getLogger("mlpatterns")

# Words in ONNX Runtime's errors about sizes that do not match. These errors name the node that ran, not the input.
SIZES = re.compile(r"mismatch|broadcast|shape|dimension|\baxis\b|\baxes\b|channels|\brank\b|\bdims\b", re.IGNORECASE)
MEMORY = re.compile(r"alloc", re.IGNORECASE)


def prediction_error(
    error: BaseException, inputs: Mapping[str, Array], metadata: ModelMetadata | None
) -> PredictionError:
    """The error for the client. ONNX Runtime's error text contains names of nodes and paths, so it is only logged.

    Args:
        inputs: the inputs of the request.
        metadata: the metadata of the model; None while the model starts.
    """
    kind = type(error).__name__
    if kind == "InvalidArgument" or isinstance(error, ValueError):
        return InvalidInput("the model refused these inputs: check their names, shapes and datatypes")
    if kind == "Fail" and "terminate" in str(error):
        return DeadlineExceeded("the call was stopped")
    odd = _other_sizes(inputs, metadata) if SIZES.search(str(error)) and not MEMORY.search(str(error)) else ""
    if odd:
        log.info("the model does not run inputs of these sizes: %s", " ".join(str(error).split()))
        return InvalidInput(f"the model does not run inputs of these sizes: {odd}")
    log.error("the model failed", exc_info=error)
    return InternalError("the model failed", logged=True)


def _other_sizes(inputs: Mapping[str, Array], metadata: ModelMetadata | None) -> str:
    """Names the inputs whose sizes, without the batch axis, differ from those of the sample; empty if none differs."""
    if metadata is None or metadata.sample is None:
        return ""
    odd = [
        f"{quoted(name)} has the shape {list(value.shape)}, and its sample {list(metadata.sample[name].shape)}"
        for name, value in inputs.items()
        if name in metadata.sample and value.shape[1:] != metadata.sample[name].shape[1:]
    ]
    return "; ".join(odd)
