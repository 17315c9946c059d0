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
    hardly_ever, fields = DriftThresholds(psi=50, ks=0.99), ["a", "b", "c", "d"]
    monitor = Monitor(PredictionLog(CountingModel(fields=fields)), fields=fields, thresholds=hardly_ever)
    windows = await watched(monitor, [iris_rows(200, number, longer=2 * (number > 2)) for number in range(6)])
    assert all(window.alerting == () for window in windows)  # the Monitor's own example, where it alerts of "a"


async def hysteresis_example() -> None:
    at_once, fields = Hysteresis(raise_after=1, of=1, clear_after=1), ["a", "b", "c", "d"]
    monitor = Monitor(PredictionLog(CountingModel(fields=fields)), fields=fields, hysteresis=at_once)
    windows = await watched(monitor, [iris_rows(200, number, longer=2 * (number == 1)) for number in range(3)])
    assert [window.alerting for window in windows] == [(), ("a",), ()]


async def limits_example() -> None:
    limits = Limits(means={"length": 5.8}, threshold=0.1)
    fields = ["length", "b", "c", "d"]
    monitor = Monitor(PredictionLog(CountingModel(fields=fields)), fields=fields, rules="limits", limits=limits)
    windows = await watched(monitor, [iris_rows(200, 1), iris_rows(200, 2, longer=3)])
    assert [window.alerting for window in windows] == [(), ("length",)]
