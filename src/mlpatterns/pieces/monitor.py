"""Monitor: checks whether the requests and answers of a model still resemble its training data."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Annotated, Literal

from msgspec import Meta, Struct

from mlpatterns.analysis.drift import DriftThresholds
from mlpatterns.analysis.hysteresis import Hysteresis
from mlpatterns.base import Wrapper
from mlpatterns.pieces import piece
from mlpatterns.predictor import Caller, InferenceRequest, InferenceResponse, Operation, Predictor, Runtime
from mlpatterns.programs.monitor import MonitorOptions, MonitorProgram, Profiles
from mlpatterns.programs.monitor_labels import Labels
from mlpatterns.programs.monitor_rules import LimitRules, Limits, StatisticalRules
from mlpatterns.stores.log import LogStore
from mlpatterns.stores.monitor import MonitorStore, Window
from mlpatterns.user_errors import CompositionError, SettingsError

__all__ = ["DriftQuery", "DriftWindows", "Monitor"]

AT_ONCE = Hysteresis(1, 1, 1)


class DriftQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """The last `limit` windows of one version, or of all versions."""

    version: str | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 20


class DriftWindows(Struct, frozen=True):
    """The last windows, newest first."""

    windows: tuple[Window, ...]


@piece(lambda inner, _: Monitor(inner, log="memory://"))
class Monitor(Wrapper):
    """Passes requests to `predictor`, while a program compares windows of logged predictions with a profile.

    Each version of the model has its own windows and profile. The program reads the log of the PredictionLog inside
    `predictor`, or of the one at `path`. It leaves out tests, probes, mirrored requests and failed predictions. Alerts
    go to the log, to metrics and, if the setting `alert_url` is set, to a webhook. The query `drift` gives the last
    windows.

    Args:
        predictor: contains the PredictionLog whose records are read.
        profiles: the source of the profiles, such as `ModelProfiles`; by default the first window of each version is
            the profile for its later windows.
        fields: the names of the columns, for an input with as many columns; by default those of `profiles`.
        ignore: columns that are not tested, such as those that the log redacts.
        rules: ``tests`` compares each window with the profile by calibrated tests; ``limits`` compares means and the
            share of outliers with fixed limits, as ml-system-in-actions does.
        thresholds, limits: the parameters of these rules.
        hysteresis: when an alert begins and ends. By default it begins after 2 of 3 windows with a finding, and ends
            after 3 windows without one; with ``limits`` it begins and ends at once.
        interval: the minimum length of a window in seconds; windows do not overlap.
        min_rows: the minimum number of rows in a window; by default 100, with ``limits`` 1.
        max_rows: the maximum number of rows that are tested; from a larger window a random sample is taken.
        outliers: the output that says whether a row is an outlier.
        labels: the name of the feedback that has the true label.
        answer: the output that is compared with true labels; by default ``probabilities``, otherwise ``label``,
            otherwise the first.
        log, store: URLs of the LogStore to read and of the MonitorStore; by default the settings `log`, `monitor`.
        path: the path of the PredictionLog, if it is not inside `predictor`.
        name: the name of this piece; by default that of `predictor`.

    Raises:
        CompositionError: an option is out of its range.
        SettingsError: at the start: the log cannot be read, or `alert_url` is not a URL.
    """

    def __init__(
        self,
        predictor: Predictor,
        *,
        profiles: Profiles | None = None,
        fields: Sequence[str] = (),
        ignore: Collection[str] = (),
        rules: Literal["tests", "limits"] = "tests",
        thresholds: DriftThresholds | None = None,
        limits: Limits | None = None,
        hysteresis: Hysteresis | None = None,
        interval: float = 60.0,
        min_rows: int | None = None,
        max_rows: int = 10_000,
        outliers: str | None = "is_outlier",
        labels: str = "label",
        answer: str | None = None,
        log: str | None = None,
        store: str | None = None,
        path: str | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(predictor, name)
        least = min_rows if min_rows is not None else 100 if rules == "tests" else 1
        if not (interval > 0 and 1 <= least <= max_rows):
            raise CompositionError("a Monitor needs an interval greater than 0, and 1 <= min_rows <= max_rows")
        if rules not in ("tests", "limits"):
            raise CompositionError(f"the rules of a Monitor are 'tests' or 'limits', not {rules!r}")
        self.log, self.store = log, store
        self.programs = (
            MonitorProgram(
                MonitorOptions(
                    StatisticalRules(thresholds or DriftThresholds(), frozenset(ignore)) if rules == "tests" else (
                        LimitRules(limits or Limits(), frozenset(ignore))),
                    hysteresis or (Hysteresis() if rules == "tests" else AT_ONCE),
                    interval, least, max_rows, outliers, Labels(labels, answer), tuple(fields), profiles, log, store,
                    path,
                )
            ),
        )  # fmt: skip
        self.operations = (Operation("drift", "query", "public", DriftQuery, DriftWindows, self._drift),)

    async def start(self, runtime: Runtime) -> None:
        self._path, settings = runtime.path, runtime.settings
        if settings.alert_url and not settings.alert_url.startswith(("http://", "https://")):
            raise SettingsError("alert_url must be an http or https address")
        await runtime.store(LogStore, self.log or settings.log_url)  # type: ignore[type-abstract]
        self._store = await runtime.store(MonitorStore, self.store or settings.monitor_url)  # type: ignore[type-abstract]

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        return await self.inner.predict(request)

    async def _drift(self, query: DriftQuery, caller: Caller) -> DriftWindows:
        """The last windows, with their findings and alerts."""
        return DriftWindows(await self._store.windows(self._path, version=query.version, limit=query.limit))
