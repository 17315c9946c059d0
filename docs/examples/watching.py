"""Outliers and drift.

What tells that requests or answers are no longer those that a model was made for.
"""

from __future__ import annotations

from mlpatterns import (
    DriftThresholds,
    Hysteresis,
    Limits,
    ModelProfiles,
    Monitor,
    OnnxModel,
    OutlierCheck,
    PredictionLog,
    running,
)
from mlpatterns.testing import CountingModel, iris_rows, request, watched

NAMES = ("OutlierCheck", "Monitor", "ModelProfiles", "DriftThresholds", "Hysteresis", "Limits")


async def outlier_check_example() -> None:
    checked = OutlierCheck(CountingModel(), detector=CountingModel("detector"), threshold=0)
    async with running(checked):
        response = await checked.predict(request([[1, 2], [-1, -2]]))
    assert response.outputs["is_outlier"].tolist() == [False, True]


async def monitor_example() -> None:
    monitor = Monitor(PredictionLog(CountingModel(fields=["a", "b", "c", "d"])), fields=["a", "b", "c", "d"])
    windows = await watched(monitor, [iris_rows(200, number, longer=2 * (number > 2)) for number in range(6)])
    assert "a" in windows[-1].alerting


async def model_profiles_example() -> None:
    model = OnnxModel("iris_sklearn_svc")
    monitor = Monitor(PredictionLog(model), profiles=ModelProfiles(model.reference))
    (window,) = await watched(monitor, [iris_rows(200)])
    assert window.alerting == ()


async def drift_thresholds_example() -> None:
    strict = DriftThresholds(alpha=0.001, ks=0.3)
    monitor = Monitor(PredictionLog(CountingModel()), thresholds=strict, hysteresis=Hysteresis(raise_after=1, of=1))
    windows = await watched(monitor, [iris_rows(200, number, longer=0.1 * number) for number in range(3)])
    assert all(window.alerting == () for window in windows)


def hysteresis_example() -> None:
    twice = Hysteresis(raise_after=2, of=3, clear_after=3)
    assert (twice.raise_after, twice.of) == (2, 3)


async def limits_example() -> None:
    limits = Limits(means={"length": 5.8}, threshold=0.1)
    fields = ["length", "b", "c", "d"]
    monitor = Monitor(PredictionLog(CountingModel(fields=fields)), fields=fields, rules="limits", limits=limits)
    windows = await watched(monitor, [iris_rows(200, 1), iris_rows(200, 2, longer=3)])
    assert [window.alerting for window in windows] == [(), ("length",)]
