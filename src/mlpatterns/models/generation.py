"""One version of a model that can be changed while it serves: what answers, and how many are inside."""

from __future__ import annotations

from msgspec.structs import replace

from mlpatterns.metadata import ModelMetadata
from mlpatterns.predictor import InferenceResponse, Predictor, Runtime

__all__ = ["Generation"]


class Generation:
    """A predictor that answers as version `version` of the model `model`.

    Attributes:
        inside: requests that it is answering; whoever asks `predictor` counts here.
        metadata: once it is started.
    """

    metadata: ModelMetadata

    def __init__(self, model: str, version: int, predictor: Predictor, runtime: Runtime) -> None:
        self.model, self.version, self.predictor, self._runtime = model, version, predictor, runtime
        self.name = f"{model}: version {version}"
        self.inside = 0

    @property
    def busy(self) -> bool:
        return self.inside > 0

    async def start(self) -> None:
        await self._runtime.start_tree(self.predictor)
        self.metadata = replace(self.predictor.metadata, name=self.model, version=str(self.version))

    async def stop(self) -> None:
        await self._runtime.stop_tree(self.predictor)

    def named(self, a: InferenceResponse) -> InferenceResponse:
        """Whatever is inside, the answer names the version that the registry knows."""
        version = self.metadata.version
        if a.model_name == self.model and a.model_version == version:
            return a
        return replace(a, model_name=self.model, model_version=version)
