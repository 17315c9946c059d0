"""The place of a served model: what is said of it while there is none."""

from __future__ import annotations

import asyncio

from mlpatterns.metrics import ProcessMetrics
from mlpatterns.predictor import Health
from mlpatterns.server.hosting import Hosted
from mlpatterns.settings import Settings
from mlpatterns.testing import CountingModel


def test_nobody_waits_for_a_model_that_an_operator_has_unloaded_when_asked_too() -> None:
    hosted = Hosted("iris", "iris", CountingModel("iris"), Settings(), ProcessMetrics())
    assert asyncio.run(hosted.check()) == hosted.health() == Health(False, "iris cannot answer yet")
    hosted.host(None, "unloaded")
    assert asyncio.run(hosted.check()) == hosted.health() == Health()
