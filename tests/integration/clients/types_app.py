"""A model that gives back what it takes, in every datatype; it is copied and run, never imported."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from mlpatterns import (
    InferenceRequest,
    InferenceResponse,
    InvalidInput,
    ModelMetadata,
    PythonModel,
    TensorSpec,
    Wrapper,
    serve,
)

TYPES = (
    "BOOL",
    "UINT8",
    "UINT16",
    "UINT32",
    "UINT64",
    "INT8",
    "INT16",
    "INT32",
    "INT64",
    "FP16",
    "FP32",
    "FP64",
    "BYTES",
)


def same(_: None, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
    if not inputs["FP32"].size:
        raise InvalidInput("there is nothing to give back")
    return {f"{name}_back": value for name, value in inputs.items()}


def model(name: str) -> PythonModel:
    return PythonModel(
        lambda: None,
        same,
        name=name,
        version="2",
        inputs=[TensorSpec(name, name, (-1, 2)) for name in TYPES],
        outputs=[TensorSpec(f"{name}_back", name, (-1, 2)) for name in TYPES],
    )


class Later(Wrapper):
    """Accepts everything for later, as a queue does."""

    @property
    def metadata(self) -> ModelMetadata:
        inner = self.inner.metadata
        job = TensorSpec("job_id", "BYTES", (-1,))
        return ModelMetadata(inner.name, inner.version, "queue", inner.inputs, (job,), "job_id")

    def describe(self, context: Any) -> ModelMetadata:
        return self.metadata

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        return InferenceResponse({"job_id": np.array([b"j1"], object)}, self.name, "2", status="accepted")


app = serve(lambda: [model("same"), Later(model("later"))])
