"""Health: the server is live while its process answers, and ready while its predictors can answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mlpatterns.context import Context
from mlpatterns.metrics import ProcessMetrics
from mlpatterns.predictor import Health, Predictor
from mlpatterns.runtime import AppRuntime
from mlpatterns.runtime.tasks import FAILING, failure
from mlpatterns.server.dispatch import Dispatcher
from mlpatterns.server.exchange import JSON, Answer, Call, Handler, encode

__all__ = ["HealthFace"]


class HealthFace:
    """Answers the health routes. Live: the process answers. Ready: every loaded model and what it needs can answer."""

    def __init__(
        self, dispatcher: Dispatcher, models: Mapping[str, Predictor], runtime: AppRuntime, metrics: ProcessMetrics
    ) -> None:
        self._dispatcher, self._models, self._runtime, self._metrics = dispatcher, models, runtime, metrics

    def health(self, own: Callable[[Health, Context], Any] | None) -> Handler:
        """Makes the handler of `/health`. It answers `{"health": "ok"}`, or with the value that `own` returns."""

        async def health(call: Call) -> Answer:
            if own is None:
                return Answer(b'{"health":"ok"}')
            waiting = self.waiting()
            return Answer(encode(own(Health(not waiting, "; ".join(waiting or self.trouble().values())), call.context)))

        return health

    async def live(self, call: Call) -> Answer:
        return Answer(b'{"live":true}')

    async def ready(self, call: Call) -> Answer:
        waiting = self.waiting()
        if not waiting and not self._dispatcher.draining:
            trouble = self.trouble()
            return Answer(encode({"ready": True, "trouble": trouble}) if trouble else b'{"ready":true}')
        text = "the server is stopping" if self._dispatcher.draining else f"not ready yet: {'; '.join(waiting)}"
        content: dict[str, Any] = {"ready": False, "error": text}
        if programs := self.trouble().get("programs"):  # a failing program may be the reason
            content["trouble"] = {"programs": programs}
        return Answer(encode(content), (JSON, (b"retry-after", b"1")), 503)

    def trouble(self) -> dict[str, str]:
        """The faults that do not prevent answers, by model; those of programs have the key `programs`.

        Examples: the next version of a HotSwap cannot serve; a program fails.
        """
        faults = {name: model.health().reason for name, model in self._models.items()}
        faults["programs"] = "; ".join(dict.fromkeys([*self._runtime.trouble(), *self._failing_elsewhere()]))
        return {name: trouble for name, trouble in faults.items() if trouble}

    def _failing_elsewhere(self) -> list[str]:
        """The failing programs of another process that shares the metrics of this one."""
        if self._runtime.settings.programs_inside:
            return []
        failing = [dict(one.labels) for one in self._metrics.samples() if one.family.name == FAILING and one.values[0]]
        return [failure(labels["piece"], labels["task"]) for labels in failing]

    def waiting(self) -> list[str]:
        """The reasons why the server is not ready; empty while it is. While it drains, the names of all models."""
        if self._dispatcher.draining:
            return sorted(self._models)
        healths = [(name, model.health()) for name, model in self._models.items()]
        reasons = [health.reason or f"{name} cannot answer yet" for name, health in healths if not health.ready]
        shared = self._runtime.waiting()
        return list(dict.fromkeys([*reasons, *([shared] if shared else [])]))
