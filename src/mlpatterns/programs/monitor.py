"""The monitor: reads the log of predictions in windows, compares each window with the profile, and raises alerts."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from mlpatterns.analysis.hysteresis import AlertState, Hysteresis
from mlpatterns.analysis.profile import DataProfile
from mlpatterns.ids import new_id
from mlpatterns.predictor import Runtime
from mlpatterns.programs.alerts import Webhook
from mlpatterns.programs.monitor_labels import Labels
from mlpatterns.programs.monitor_metrics import MonitorMetrics
from mlpatterns.programs.monitor_rules import Rules, baseline
from mlpatterns.programs.monitor_windows import WindowBuilder, key_of
from mlpatterns.stores.log import LogPage, LogQuery, LogStore
from mlpatterns.stores.monitor import MonitorCheckpoint, MonitorStore, OpenWindow, Window

__all__ = ["MonitorOptions", "MonitorProgram", "Profiles"]

log = logging.getLogger("mlpatterns")

PAGE = 1000
LOOKS, LONGEST_PAUSE = 4, 5.0  # checks in an interval; the most seconds between two checks


class Profiles(Protocol):
    """The source of the profiles of model versions."""

    async def of(self, version: str, runtime: Runtime) -> DataProfile | None:
        """The profile of `version`; None if it has none.

        Raises:
            RegistryDown: the registry does not answer now.
        """
        ...


class MonitorOptions(Struct, frozen=True):
    """What a monitor reads, and how it judges windows.

    Attributes:
        rules: judge a window against its profile.
        hysteresis: when an alert begins and ends.
        interval: the least seconds of a window.
        min_rows: the least rows of a window.
        max_rows: the most rows of a window that are kept; of a larger one a random sample is kept.
        outliers: the output or the note that says which rows are outliers.
        labels: how feedback is compared with predictions.
        fields: the column names of an input with as many columns.
        log, store: URLs; by default those of the settings.
        path: the path of the PredictionLog; by default every log inside the monitor.
        profiles: by default the first window of each version is the profile for the later ones.
    """

    rules: Rules
    hysteresis: Hysteresis
    interval: float
    min_rows: int
    max_rows: int
    outliers: str | None
    labels: Labels
    fields: tuple[str, ...] = ()
    profiles: Profiles | None = None
    log: str | None = None
    store: str | None = None
    path: str | None = None


class MonitorProgram:
    """The program of a monitor, which one process of the deployment runs.

    All its state is in the store, so that another process can take over: every prediction counts exactly once.
    """

    name, exclusive = "monitor", True

    def __init__(self, options: MonitorOptions) -> None:
        self._options = options

    async def run(self, runtime: Runtime) -> None:
        monitoring = await self._begun(runtime)
        while True:
            await monitoring.look()
            await runtime.clock.sleep(min(self._options.interval / LOOKS, LONGEST_PAUSE))

    async def look(self, runtime: Runtime) -> None:
        """Judges the windows that are complete now, and returns: for tests and for schedulers."""
        await (await self._begun(runtime)).look()

    async def _begun(self, runtime: Runtime) -> MonitorRun:
        monitoring = MonitorRun(self._options, runtime)
        await monitoring.begin()
        return monitoring


class MonitorRun:
    """One run of the monitor."""

    def __init__(self, options: MonitorOptions, runtime: Runtime) -> None:
        self._options, self._runtime = options, runtime
        self._path, self._holder = runtime.path, new_id()
        self._figures = MonitorMetrics(runtime)
        self._profiles: dict[str, DataProfile | None] = {}

    async def begin(self) -> None:
        """Opens the stores and loads the checkpoint."""
        options, runtime = self._options, self._runtime
        settings = runtime.settings
        self._log = await runtime.store(LogStore, options.log or settings.log_url)  # type: ignore[type-abstract]
        self._store = await runtime.store(MonitorStore, options.store or settings.monitor_url)  # type: ignore[type-abstract]
        self._webhook = Webhook(settings.alert_url, self._store, runtime) if settings.alert_url else None
        saved = await self._store.claim(self._path, self._holder)
        self._after, self._told_after = self._saved = saved.after, saved.told_after
        self._standings, self._baselines = dict(saved.standings), dict(saved.baselines)
        self._gatherer = WindowBuilder(
            interval=options.interval, min_rows=options.min_rows, max_rows=options.max_rows, fields=options.fields,
            outliers=options.outliers,
        )  # fmt: skip
        self._gatherer.restore(saved.open)

    async def look(self) -> None:
        """Reads the records since the last look, and judges the windows that are complete."""
        path = self._options.path or self._path
        await self._learn(path)
        while True:
            query = LogQuery(after=self._after, path=path, purpose="request", role="primary", limit=PAGE)
            page = await self._log.read(query)
            complete = await self._runtime.offload(partial(self._gathered, page))
            ended, self._after = page.after == self._after, page.after
            if ended:
                complete += self._gatherer.due(self._runtime.clock.time())
            await self._judge(complete)
            if ended:
                break
        if self._webhook is not None:
            await self._webhook.post_pending()

    async def _learn(self, path: str) -> None:
        """Reads the true labels since the last look; they count in the open window of their version."""
        while True:
            page = await self._log.read_feedback(self._told_after, PAGE)
            for feedback in page.feedback:
                record = await self._options.labels.labelled(feedback, self._log, path)
                if record is None:
                    continue
                profile = await self._profile(record.model, record.version)
                right = self._options.labels.right(feedback, record, list(profile.classes) if profile else [])
                if right is not None:
                    self._gatherer.learn(record, feedback.at, right=right)
            if page.after == self._told_after:
                return
            self._told_after = page.after

    def _gathered(self, page: LogPage) -> list[OpenWindow]:
        complete: list[OpenWindow] = []
        for record in page.records:
            if record.status == "done":
                complete += self._gatherer.add(record)
        return complete

    async def _judge(self, complete: Sequence[OpenWindow]) -> None:
        windows = [await self._judged(window) for window in complete]
        if not windows and (self._after, self._told_after) == self._saved:
            return
        checkpoint = MonitorCheckpoint(
            self._after, self._told_after, tuple(self._gatherer.open.values()), self._standings, self._baselines
        )
        notify = self._webhook is not None
        await self._store.save(self._path, checkpoint, windows, holder=self._holder, notify=notify)
        self._saved = self._after, self._told_after
        for window in windows:
            self._figures.show(window)

    async def _judged(self, window: OpenWindow) -> Window:
        key = key_of(window.model, window.version)
        profile, rules = await self._profile(window.model, window.version), self._options.rules
        if profile is None and self._options.profiles is None and rules.needs_profile:
            self._baselines |= {key: made} if (made := baseline(window)) else {}
            return replace(rules.judge(window, None), remark="it becomes the profile for later windows of this version")
        judged = await self._runtime.offload(lambda: rules.judge(window, profile))
        if profile is None and rules.needs_profile:
            return replace(judged, remark="there is no profile of this version")
        before = self._standings.get(key, AlertState())
        after = self._options.hysteresis.step(before, judged.found)
        self._standings[key] = after
        return replace(
            judged,
            alerting=after.alerting,
            raised=tuple(name for name in after.alerting if name not in before.alerting),
            cleared=tuple(name for name in before.alerting if name not in after.alerting),
        )

    async def _profile(self, model: str, version: str) -> DataProfile | None:
        key = key_of(model, version)
        if self._options.profiles is None:
            return self._baselines.get(key)
        if key not in self._profiles:
            self._profiles[key] = await self._options.profiles.of(version, self._runtime)
        return self._profiles[key]
