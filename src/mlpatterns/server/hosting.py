"""What the faces hold of one served model: it stays while the model in it is unloaded and loaded anew."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from mlpatterns.base import BasePredictor
from mlpatterns.context import Context
from mlpatterns.errors import NotStarted, Unavailable
from mlpatterns.metadata import ModelMetadata
from mlpatterns.metrics import ProcessMetrics
from mlpatterns.pieces.limit import Limit
from mlpatterns.predictor import Health, InferenceRequest, InferenceResponse, Predictor
from mlpatterns.server.statistics import Statistics
from mlpatterns.settings import Settings

__all__ = ["Hosted", "loaded"]

Predict = Callable[[InferenceRequest], Coroutine[Any, Any, InferenceResponse]]


class Hosted(BasePredictor):
    """A served model within the app's own Limit, or the place where one was.

    Args:
        name: that it is served under.
        path: that the model's pieces note and count under.
        model: what build() made; it is started by `running`, like all predictors.

    Attributes:
        limit: around the model; None while there is no model.
        loading: a model is being started.
        reason: why there is none.
        statistics: of what the faces ask it.
        predict: the limit's own, so that a request takes no step more.
    """

    predict: Predict  # type: ignore[assignment]

    def __init__(self, name: str, path: str, model: Predictor, settings: Settings, metrics: ProcessMetrics) -> None:
        super().__init__(name)
        self.path, self._settings = path, settings
        self.statistics = Statistics(path, metrics)
        self.loading, self.reason = False, ""
        self.limit: Limit | None = None
        self.host(self.limited(model))

    def limited(self, model: Predictor) -> Limit:
        """`model` as it is hosted: within the bounds of the settings."""
        settings = self._settings
        return Limit(model, max_concurrency=settings.max_concurrency, max_queue=settings.max_queue, name=self.name)

    def roots(self) -> list[tuple[str, Predictor]]:
        """What starts, each with its path: the model, and the limit around it."""
        if self.limit is None:
            return []
        return [(self.path, self.limit.inner), (self.limit_path, self.limit)]

    def host(self, limit: Limit | None, reason: str = "") -> Limit | None:
        """From now on requests go to `limit`, or are refused without one; returns what was there before."""
        before, self.limit, self.reason = self.limit, limit, reason
        self.children = {} if limit is None else {"limit": limit}
        self.predict = limit.predict if limit is not None else self._refuse
        return before

    @property
    def limit_path(self) -> str:
        """Of the limit around the model: one that no model can have."""
        return f"server:{self.path}"

    @property
    def model(self) -> Predictor | None:
        """What build() made, without the limit."""
        return None if self.limit is None else self.limit.inner

    @property
    def known(self) -> ModelMetadata | None:
        """Its metadata if it is loaded and ready."""
        try:
            return self.metadata
        except (NotStarted, Unavailable):
            return None

    @property
    def metadata(self) -> ModelMetadata:
        """Of the model.

        Raises:
            NotStarted: it is not ready.
            Unavailable: it is not loaded.
        """
        if self.limit is None:
            raise self._unloaded()
        return self.limit.metadata

    def described(self) -> ModelMetadata:
        """As `metadata`, with one error.

        Raises:
            Unavailable: it is not loaded, or not ready yet.
        """
        try:
            return self.metadata
        except NotStarted:
            raise Unavailable(f"the model {self.name!r} is not ready yet", retry_after=1) from None

    def describe(self, context: Context) -> ModelMetadata:
        """What this caller's requests meet; raises as `described`."""
        if self.limit is None:
            raise self._unloaded()
        try:
            return self.limit.inner.describe(context)
        except NotStarted:
            raise Unavailable(f"the model {self.name!r} is not ready yet", retry_after=1) from None

    def identity(self) -> str | None:
        return None if self.limit is None else self.limit.identity()

    def overall_health(self, below: Sequence[Health]) -> Health:
        """Nobody waits for a model that an operator has unloaded."""
        return Health() if self.limit is None else super().overall_health(below)

    async def _refuse(self, request: InferenceRequest) -> InferenceResponse:
        raise self._unloaded()

    def _unloaded(self) -> Unavailable:
        return Unavailable(f"the model {self.name!r} is not loaded")


def loaded(hosted: Mapping[str, Hosted]) -> dict[str, Predictor]:
    """What build() made and is loaded, by the name each is served under."""
    return {name: one.model for name, one in hosted.items() if one.model is not None}
