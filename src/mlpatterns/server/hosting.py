"""The object that the APIs hold for a served model. It remains while its model is unloaded and loaded again."""

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
    """A served model inside the app's own Limit. The object remains, without a model, when the model is unloaded.

    Args:
        name: the name under which the model is served.
        path: the path of the model in notes and metrics; the paths of its pieces begin with it.
        model: the predictor that build() made, not started.

    Attributes:
        limit: the Limit around the model; None while there is no model.
        loading: whether a model is being started.
        reason: why there is no model.
        statistics: counts and times of the requests to the model.
        predict: the method of the limit itself, which saves a call per request. Without a model it raises Unavailable.
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
        """Puts `model` inside a Limit with the bounds of the settings."""
        settings = self._settings
        return Limit(model, max_concurrency=settings.max_concurrency, max_queue=settings.max_queue, name=self.name)

    def roots(self) -> list[tuple[str, Predictor]]:
        """The roots to start, each with its path: the model, and the limit around it."""
        if self.limit is None:
            return []
        return [(self.path, self.limit.inner), (self.limit_path, self.limit)]

    def host(self, limit: Limit | None, reason: str = "") -> Limit | None:
        """Sends new requests to `limit`. If it is None, refuses them; `reason` says why. Returns the previous limit."""
        before, self.limit, self.reason = self.limit, limit, reason
        self.children = {} if limit is None else {"limit": limit}
        self.predict = limit.predict if limit is not None else self._refuse
        return before

    @property
    def limit_path(self) -> str:
        """The path of the limit around the model; no model can have this path."""
        return f"server:{self.path}"

    @property
    def model(self) -> Predictor | None:
        """The predictor that build() made, without the limit."""
        return None if self.limit is None else self.limit.inner

    @property
    def known(self) -> ModelMetadata | None:
        """The model's metadata; None unless the model is loaded and ready."""
        try:
            return self.metadata
        except (NotStarted, Unavailable):
            return None

    @property
    def metadata(self) -> ModelMetadata:
        """The model's metadata.

        Raises:
            NotStarted: the model is not ready.
            Unavailable: the model is not loaded.
        """
        if self.limit is None:
            raise self._unloaded()
        return self.limit.metadata

    def described(self) -> ModelMetadata:
        """The same as `metadata`, but NotStarted becomes Unavailable.

        Raises:
            Unavailable: the model is not loaded, or not ready yet.
        """
        try:
            return self.metadata
        except NotStarted:
            raise Unavailable(f"the model {self.name!r} is not ready yet", retry_after=1) from None

    def describe(self, context: Context) -> ModelMetadata:
        """The metadata of the model that answers this caller's requests; raises the errors of `described`."""
        if self.limit is None:
            raise self._unloaded()
        try:
            return self.limit.inner.describe(context)
        except NotStarted:
            raise Unavailable(f"the model {self.name!r} is not ready yet", retry_after=1) from None

    def identity(self) -> str | None:
        return None if self.limit is None else self.limit.identity()

    def overall_health(self, below: Sequence[Health]) -> Health:
        """The health of the model. An unloaded model counts as healthy, because an operator unloaded it on purpose."""
        return Health() if self.limit is None else super().overall_health(below)

    async def _refuse(self, request: InferenceRequest) -> InferenceResponse:
        raise self._unloaded()

    def _unloaded(self) -> Unavailable:
        return Unavailable(f"the model {self.name!r} is not loaded")


def loaded(hosted: Mapping[str, Hosted]) -> dict[str, Predictor]:
    """The loaded predictors that build() made, by the name under which each is served."""
    return {name: one.model for name, one in hosted.items() if one.model is not None}
