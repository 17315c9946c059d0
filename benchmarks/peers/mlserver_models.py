"""MLServer's custom runtimes, as its guide writes them: a class with `load` and `predict`, codecs for the tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
from mlserver import MLModel
from mlserver.codecs import Base64Codec, NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse

from benchmarks.peers.session import open_model


class Arrays(MLModel):  # type: ignore[misc]  # MLServer lives in an environment of its own
    """Arrays as numbers, of JSON or of gRPC's raw bytes."""

    async def load(self) -> bool:
        self.run = open_model()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        found = self.run(NumpyCodec.decode_input(payload.inputs[0]).astype(np.float32, copy=False))
        return self.answer(NumpyCodec.encode_output("output", found))

    def answer(self, output: Any) -> InferenceResponse:
        return InferenceResponse(model_name=self.name, model_version=self.version, outputs=[output])


class Images(Arrays):
    """One image as the bytes of its pixels in base64: what MLServer's REST has for binary content."""

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        pixels = Base64Codec.decode_input(payload.inputs[0])[0]
        found = self.run(np.frombuffer(pixels, "<f4").reshape(1, 3, 224, 224))
        return self.answer(Base64Codec.encode_output("output", [found.tobytes()]))
