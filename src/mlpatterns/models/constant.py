"""ConstantModel: the same answer for every row, as a last fallback."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from msgspec.structs import replace

from mlpatterns.base import BasePredictor
from mlpatterns.metadata import DTYPES, Array, ModelMetadata, TensorSpec
from mlpatterns.predictor import InferenceRequest, InferenceResponse, Predictor
from mlpatterns.tensors import batch_size
from mlpatterns.user_errors import CompositionError

__all__ = ["ConstantModel"]


class ConstantModel(BasePredictor):
    """Has the inputs and outputs of another predictor, but always answers with the same values. Use it as the last
    choice of a Fallback. It reads the metadata of the other predictor, but never calls its `predict`.

    Args:
        like: the other predictor.
        values: the values of one row, by output. An output without a value gets a neutral value: floats are equal
            shares of 1, signed integers are -1, unsigned integers are 0, booleans are False, texts are empty.
        name: its name in notes, in metrics and when it is served.

    Raises:
        CompositionError: `values` do not fit the outputs; raised when the metadata is first read.
    """

    def __init__(self, like: Predictor, values: Mapping[str, Any] | None = None, *, name: str = "constant") -> None:
        super().__init__(name)
        self.like, self.values = like, dict(values or {})
        self._known: tuple[ModelMetadata, ModelMetadata, Mapping[str, Array]] | None = None

    @property
    def metadata(self) -> ModelMetadata:
        return self._prepared()[0]

    def identity(self) -> str:
        said = repr(sorted((key, np.asarray(value).tolist()) for key, value in self.values.items()))
        return hashlib.sha256(f"constant {said}".encode()).hexdigest()

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        described, values = self._prepared()
        rows = batch_size(request.inputs)
        names = request.outputs or tuple(values)
        outputs = {name: np.repeat(values[name], rows, axis=0) for name in names}
        return InferenceResponse(outputs, self.name, described.version, self.identity())

    def _prepared(self) -> tuple[ModelMetadata, Mapping[str, Array]]:
        """The metadata, and one row of each output.

        Raises:
            NotStarted: the other predictor has no metadata yet.
        """
        like = self.like.metadata
        if self._known is None or self._known[0] is not like:
            described = replace(like, name=self.name, version="constant", platform="constant")
            if unknown := sorted(set(self.values) - {spec.name for spec in like.outputs}):
                raise CompositionError(f"{self.like.name!r} has no output {unknown[0]!r} that {self.name!r} could give")
            self._known = like, described, {spec.name: self._row(spec) for spec in like.outputs}
        return self._known[1:]

    def _row(self, spec: TensorSpec) -> Array:
        dtype, shape = DTYPES[spec.datatype], (1, *spec.shape[1:])
        if spec.name in self.values:
            row = np.asarray([self.values[spec.name]], dtype)
            if row.ndim != len(shape) or any(size not in (-1, own) for size, own in zip(shape, row.shape, strict=True)):
                raise CompositionError(
                    f"the value of {spec.name!r} must be one row of the shape {list(spec.shape[1:])}"
                )
            return row
        if -1 in shape or spec.shape[:1] != (-1,):
            raise CompositionError(f"give {self.name!r} a value for {spec.name!r} in values=: its size varies")
        if dtype.kind == "f":
            return np.full(shape, 1.0 / max(1, int(np.prod(shape))), dtype)
        return np.full(shape, b"" if dtype.kind == "O" else -1 if dtype.kind == "i" else 0, dtype)
