"""One loaded version of a model that can be changed while it serves: what answers, and how many are inside."""

from __future__ import annotations

from msgspec.structs import replace

from mlpatterns.metadata import ModelMetadata
from mlpatterns.predictor import InferenceResponse, Predictor

__all__ = ["Generation"]


class Generation:
    """A started predictor that answers as version `version` of the model `name`.

    Attributes:
        inside: requests that it is answering; whoever asks `predictor` counts here.
    """

    def __init__(self, name: str, version: int, predictor: Predictor) -> None:
        self.name, self.version, self.predictor = name, version, predictor
        self.metadata: ModelMetadata = replace(predictor.metadata, name=name, version=str(version))
        self.inside = 0

    @property
    def busy(self) -> bool:
        return self.inside > 0

    def named(self, a: InferenceResponse) -> InferenceResponse:
        """Whatever is inside, the answer names the version that the registry knows."""
        version = self.metadata.version
        if a.model_name == self.name and a.model_version == version:
            return a
        return InferenceResponse(a.outputs, self.name, version, a.identity, a.parameters, a.status, a.degraded)
