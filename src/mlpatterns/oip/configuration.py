"""The configuration of a model in Triton's format, which perf_analyzer and Triton's example clients read."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from mlpatterns.metadata import DTYPES, ModelMetadata, TensorSpec
from mlpatterns.oip.limits import RequestLimits

__all__ = ["configuration"]

BACKENDS = {"onnxruntime_onnx": "onnxruntime"}  # platform -> Triton's name of the backend; others are the same
MOST_ROWS = 2**31 - 1  # the largest value of the field `max_batch_size`, an int32
STRING_BYTES = 4  # the raw size of an empty string, which consists of its length only


def configuration(metadata: ModelMetadata, limits: RequestLimits) -> dict[str, Any]:
    """The body of `GET /v2/models/M/config`.

    `max_batch_size` is the most rows that one request may have, by the model's metadata and `limits`. It is 0 if any
    tensor of the model has no first axis of free size. `dims` omit the first axis unless `max_batch_size` is 0.
    """
    specs = (*metadata.inputs, *metadata.outputs)
    batched = bool(specs) and all(spec.shape[:1] == (-1,) for spec in specs)
    return {
        "name": metadata.name,
        "platform": metadata.platform,
        "backend": BACKENDS.get(metadata.platform, metadata.platform),
        "version_policy": {"latest": {"num_versions": 1}},
        "max_batch_size": _most_rows(metadata.inputs, metadata.max_batch_size, limits) if batched else 0,
        "input": [_tensor(spec, batched=batched) for spec in metadata.inputs],
        "output": [_tensor(spec, batched=batched) for spec in metadata.outputs],
    }


def _tensor(spec: TensorSpec, *, batched: bool) -> dict[str, Any]:
    datatype = "STRING" if spec.datatype == "BYTES" else spec.datatype
    return {"name": spec.name, "data_type": f"TYPE_{datatype}", "dims": list(spec.shape[1:] if batched else spec.shape)}


def _most_rows(inputs: Sequence[TensorSpec], bound: int | None, limits: RequestLimits) -> int:
    """The most rows of one request, at least 1. An axis of free size counts as 1, the smallest size with elements."""
    most = bound or MOST_ROWS
    for spec in inputs:
        elements = prod(max(1, size) for size in spec.shape[1:])
        size = STRING_BYTES if spec.datatype == "BYTES" else DTYPES[spec.datatype].itemsize
        most = min(most, limits.max_elements // elements, limits.max_body_bytes // (elements * size))
    return max(1, most)
