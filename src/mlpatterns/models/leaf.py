"""The defaults of a leaf whose metadata and identity are found when it starts."""

from __future__ import annotations

from mlpatterns.base import BasePredictor
from mlpatterns.errors import NotStarted
from mlpatterns.metadata import ModelMetadata

__all__ = ["Leaf"]


class Leaf(BasePredictor):
    """`start` sets `_metadata` and `_identity`, and `stop` takes them away."""

    _metadata: ModelMetadata | None = None
    _identity: str | None = None

    @property
    def metadata(self) -> ModelMetadata:
        if self._metadata is None:
            raise NotStarted(self.name)
        return self._metadata

    def identity(self) -> str | None:
        return self._identity
