"""A model that gives back what it takes, in every datatype; it is copied and run, never imported."""

from collections.abc import Mapping
from typing import Any

from mlpatterns import InvalidInput, PythonModel, TensorSpec, serve

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


app = serve(
    lambda: PythonModel(
        lambda: None,
        same,
        name="same",
        version="2",
        inputs=[TensorSpec(name, name, (-1, 2)) for name in TYPES],
        outputs=[TensorSpec(f"{name}_back", name, (-1, 2)) for name in TYPES],
    )
)
