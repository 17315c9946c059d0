"""LeafPredictor: a base class for predictors that know their metadata and identity only after start."""

from __future__ import annotations

from mlpatterns.base import BasePredictor
from mlpatterns.errors import NotStarted
from mlpatterns.metadata import ModelMetadata

__all__ = ["LeafPredictor"]


class LeafPredictor(BasePredictor):
    """A subclass sets `_metadata` and `_identity` in `start`, and resets them in `stop`."""

    _metadata: ModelMetadata | None = None
    _identity: str | None = None

    @property
    def metadata(self) -> ModelMetadata:
        if self._metadata is None:
            raise NotStarted(self.name)
        return self._metadata

    def identity(self) -> str | None:
        return self._identity
