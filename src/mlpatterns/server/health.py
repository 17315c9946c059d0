"""Health: live while the process answers, ready while its predictors can."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from mlpatterns.errors import NotStarted, Unavailable
from mlpatterns.predictor import Predictor
from mlpatterns.runtime import leaves_first
from mlpatterns.server.exchange import JSON, Answer, Call, encode

__all__ = ["Health", "Stopping"]


class Stopping(Protocol):
    """Knows whether the server is about to stop."""

    @property
    def draining(self) -> bool: ...


class Health:
    """Live: the process answers. Ready: every predictor that is loaded knows its metadata."""

    def __init__(self, app: Stopping, models: Mapping[str, Predictor]) -> None:
        self._app, self._models = app, models

    async def health(self, call: Call) -> Answer:
        return Answer(b'{"health":"ok"}')

    async def live(self, call: Call) -> Answer:
        return Answer(b'{"live":true}')

    async def ready(self, call: Call) -> Answer:
        waiting = self.waiting()
        if not waiting:
            trouble = self.trouble()
            return Answer(encode({"ready": True, "trouble": trouble}) if trouble else b'{"ready":true}')
        text = "the server is stopping" if self._app.draining else f"not ready yet: {', '.join(waiting)}"
        return Answer(encode({"ready": False, "error": text}), (JSON, (b"retry-after", b"1")), 503)

    def trouble(self) -> dict[str, str]:
        """What is wrong with predictors that answer all the same, by name: a HotSwap's next version cannot serve."""
        told = ((each.name, getattr(each, "trouble", "")) for each in leaves_first(*self._models.values()))
        return {name: trouble for name, trouble in told if trouble}

    def waiting(self) -> list[str]:
        """The names of those that are not ready."""
        if self._app.draining:
            return sorted(self._models)
        names = []
        for predictor in leaves_first(*self._models.values()):
            try:
                _ = predictor.metadata
            except NotStarted:
                names.append(predictor.name)
            except Unavailable:
                continue  # unloaded by an operator, who is not waiting for it
        return sorted(set(names))
