"""The monitor at work: what it reads, that it counts each prediction once, what it is held against, whom it tells."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from core import runtime_of
from mlpatterns import DriftThresholds, Hysteresis, Limits, Monitor, Settings, running
from mlpatterns.analysis.profile import DataProfile, profile
from mlpatterns.errors import Conflict
from mlpatterns.predictor import Runtime
from mlpatterns.programs import alerts
from mlpatterns.programs.monitor import MonitorProgram, MonitorRun
from mlpatterns.stores.log import Feedback, LogStore, Record
from mlpatterns.stores.monitor import MonitorStore, OpenWindow, Window
from mlpatterns.testing import CountingModel, free_port, heard
from mlpatterns.user_errors import RegistryDown

ONCE = Hysteresis(1, 1, 1)
BEGAN = time.time() - 10_000.0


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alerts, "PAUSE", 0.01)


class Known:
    """A profile of two columns for the versions 1 and 2."""

    def __init__(self) -> None:
        self.down, self.asked = False, list[str]()

    async def of(self, version: str, runtime: Runtime) -> DataProfile | None:
        self.asked.append(version)
        if self.down:
            raise RegistryDown("the registry does not answer")
        x = np.random.default_rng(9).normal(5.0, 1.0, size=(400, 2))
        return profile(x, ["length", "width"]) if version in "12" else None


def records(rows: int, *, seed: int = 0, moved: float = 0.0, began: float = BEGAN, **fields: Any) -> list[Record]:
    """One a second."""
    x = np.random.default_rng(seed).normal(5.0, 1.0, size=(rows, 2)) + np.array([moved, 0.0])
    given = {"path": "counting/inner", "status": "done", "seconds": 0.1, "model": "m", "version": "1", **fields}
    return [Record(f"{seed}-{n}", began + n, inputs={"x": [row]}, outputs={"is_outlier": [n % 10 == 0]}, **given)
            for n, row in enumerate(x.tolist())]  # fmt: skip


class Case:
    """A monitor with stores of its own."""

    def __init__(
        self, monitor: Monitor, runtime: Runtime, log: LogStore, store: MonitorStore, *, ignoring: bool
    ) -> None:
        self.ignoring = ignoring
        self.monitor, self.runtime, self.log, self.store = monitor, runtime, log, store

    @property
    def program(self) -> MonitorProgram:
        program = self.monitor.programs[0]
        assert isinstance(program, MonitorProgram)
        return program

    async def look(self) -> None:
        await self.program.look(self.runtime)

    async def windows(self) -> list[Window]:
        return [replace(each, number=0) for each in reversed(await self.store.windows("counting", limit=1000))]

    async def found(self, written: Sequence[Record]) -> list[Window]:
        await self.log.write(written)
        await self.look()
        return await self.windows()


@asynccontextmanager
async def case(folder: Path, alert_url: str | None = None, **options: Any) -> AsyncIterator[Case]:
    settings = Settings(home=folder, control="memory://", alert_url=alert_url)
    monitor = Monitor(CountingModel(), **{"profiles": Known(), "hysteresis": ONCE, "interval": 1000.0, **options})
    async with running(monitor, settings=settings) as app:
        log: LogStore = await app.store(LogStore, settings.log_url)  # type: ignore[type-abstract]
        store: MonitorStore = await app.store(MonitorStore, settings.monitor_url)  # type: ignore[type-abstract]
        yield Case(monitor, runtime_of(app, "counting"), log, store, ignoring=bool(options.get("ignore")))


def run(work: Callable[[Case], Awaitable[None]], folder: Path, **options: Any) -> None:
    async def main() -> None:
        async with case(folder, **options) as opened:
            await work(opened)

    asyncio.run(main())


def test_a_window_that_drifts_is_an_alert_and_the_next_that_does_not_ends_it(tmp_path: Path) -> None:
    async def work(case: Case) -> None:
        found = await case.found([
            *records(200, seed=1),
            *records(200, seed=2, moved=1.5, began=BEGAN + 200),
            *records(200, seed=3, began=BEGAN + 400),
        ])  # fmt: skip
        assert [window.rows for window in found] == [200, 200, 200]
        assert [(window.raised, window.cleared) for window in found] == [((), ()), (("length",), ()), ((), ("length",))]
        assert found[1].averages["length"] == pytest.approx(6.5, abs=0.3)
        assert [(window.outliers, window.judged) for window in found] == [(20, 200)] * 3
        assert found[1].details[0].startswith("length: ")

    run(work, tmp_path, interval=200.0)


def test_what_is_no_answered_request_of_a_caller_is_left_out(tmp_path: Path) -> None:
    async def work(case: Case) -> None:
        other: list[dict[str, Any]] = [{"purpose": "test"}, {"purpose": "probe"}, {"purpose": "replay"},
                                       {"role": "shadow"}, {"status": "failed"}, {"path": "other"}]  # fmt: skip
        left_out = [record for fields in other for record in records(150, moved=5.0, **fields)]
        assert await case.found(left_out) == []
        assert [window.records for window in await case.found(records(150))] == [150]

    run(work, tmp_path)


@pytest.mark.parametrize("seed", range(2))
def test_however_often_it_is_ended_it_finds_the_same_windows(tmp_path: Path, seed: int) -> None:
    """Each look is that of a new process, which knows what is stored alone."""
    random = np.random.default_rng(seed)
    written = [record for version in "12" for record in records(700, seed=seed, moved=0.3, version=version)]
    written.sort(key=lambda record: (record.at, random.random()))

    async def once(case: Case) -> None:
        whole.extend([*await case.found(written), *await left(case)])

    async def often(case: Case) -> None:
        at = 0
        while at < len(written):
            count = int(random.integers(1, 400))
            await case.found(written[at : at + count])
            at += count
        pieces.extend([*await case.windows(), *await left(case)])

    async def left(case: Case) -> tuple[OpenWindow, ...]:
        return (await case.store.claim("counting", "test")).open

    whole: list[Window | OpenWindow] = []
    pieces: list[Window | OpenWindow] = []
    options: dict[str, Any] = {"interval": 110.0, "min_rows": 50, "max_rows": 10_000}
    run(once, tmp_path / "whole", **options)
    run(often, tmp_path / "pieces", **options)
    for version in "12":
        ours, theirs = ([each for each in found if each.version == version] for found in (whole, pieces))
        assert sum(window.rows for window in ours) == sum(window.rows for window in theirs) == 700
        assert all(before.ended < after.began for before, after in pairwise(theirs))


def test_each_version_has_windows_and_a_profile_of_its_own(tmp_path: Path) -> None:
    async def work(case: Case) -> None:
        written = [*records(150), *records(150, version="2"), *records(150, version="3")]
        found = {window.version: window for window in await case.found(written)}
        assert set(found) == {"1", "2", "3"}
        assert {version: bool(window.drift) for version, window in found.items()} == {"1": True, "2": True, "3": False}
        assert found["3"].remark == "there is no profile of this version"
        assert [each.version for each in await case.store.windows("counting", version="2")] == ["2"]

    run(work, tmp_path)


def test_without_profiles_the_first_window_is_what_later_ones_are_held_against(tmp_path: Path) -> None:
    async def work(case: Case) -> None:
        assert [bool(each.remark) for each in await case.found(records(200, seed=1))] == [True]
        await case.found(records(200, seed=2, began=BEGAN + 1000))
        found = await case.found(records(200, seed=3, moved=1.5, began=BEGAN + 2000))
        assert [(each.remark != "", each.found) for each in found] == [(True, ()), (False, ()), (False, ("x[0]",))]

    run(work, tmp_path, profiles=None, outliers=None)


def test_a_registry_that_is_down_loses_nothing(tmp_path: Path) -> None:
    known = Known()

    async def work(case: Case) -> None:
        known.down = True
        with pytest.raises(RegistryDown):
            await case.found(records(150))
        assert await case.windows() == []
        known.down = False
        await case.look()
        assert [window.records for window in await case.windows()] == [150]

    run(work, tmp_path, profiles=known)


def test_a_process_that_was_replaced_writes_nothing_more(tmp_path: Path) -> None:
    async def work(case: Case) -> None:
        first, second = (MonitorRun(case.program._options, case.runtime) for _ in range(2))
        await first.begin()
        await second.begin()
        await case.log.write(records(150))
        with pytest.raises(Conflict):
            await first.look()
        await second.look()
        assert len(await case.windows()) == 1

    run(work, tmp_path)


def test_the_books_rule_has_its_limits_and_its_words(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def work(case: Case) -> None:
        with caplog.at_level(logging.INFO, "mlpatterns"):
            found = await case.found(records(200, moved=0.5))
        assert found[0].found == ("length",)
        assert found[0].raised == ("length",)
        said = [record.getMessage().partition(": ")[2] for record in caplog.records]
        assert re.fullmatch(r"window \S+\+00:00 to \S+\+00:00, 200 logs, 200 rows", said[0])
        assert said[1:4] == [
            f"average length: {found[0].averages['length']:.2f}",
            f"average width: {found[0].averages['width']:.2f}",
            "outliers: 20",
        ]
        errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
        assert f"average length out of threshold: {found[0].averages['length']:.2f}, expected 5.00 ± 5%" in errors[0]

    run(work, tmp_path, rules="limits", limits=Limits({"length": 5.0, "width": 5.0}), fields=("length", "width"),
        hysteresis=None)  # fmt: skip


@pytest.mark.parametrize(("outliers", "said"), [(40, []), (41, ["too many outliers: 41"])])
def test_a_fifth_of_outliers_is_not_too_many_by_the_books_rule(tmp_path: Path, outliers: int, said: list[str]) -> None:
    async def work(case: Case) -> None:
        flagged = [replace(record, outputs={"is_outlier": [n < outliers]}) for n, record in enumerate(records(200))]
        assert list((await case.found(flagged))[0].details) == said

    run(work, tmp_path, rules="limits")


@pytest.mark.parametrize("rules", ["tests", "limits"])
def test_a_column_that_the_log_redacts_is_ignored_if_told_so(tmp_path: Path, rules: str) -> None:
    async def work(case: Case) -> None:
        redacted = [replace(record, inputs={"x": [[None, record.inputs["x"][0][1]]]})  # type: ignore[index]
                    for record in records(200)]  # fmt: skip
        assert (await case.found(redacted))[0].found == (() if case.ignoring else ("length",))

    for ignore in ((), ("length",)):
        run(work, tmp_path / str(ignore), rules=rules, ignore=ignore)


def test_where_the_log_keeps_no_values_outliers_are_counted_all_the_same(tmp_path: Path) -> None:
    async def work(case: Case) -> None:
        images = [replace(record, inputs={"image": {"bytes": 3, "sha256": "00"}}, outputs={"is_outlier": [True]})
                  for record in records(150)]  # fmt: skip
        found = await case.found(images)
        assert [(window.rows, window.outliers, window.found) for window in found] == [(150, 150, ("outliers",))]

    run(work, tmp_path)


def test_labels_that_come_later_count_once_in_the_window_that_is_open_then(tmp_path: Path) -> None:
    async def work(case: Case) -> None:
        written = [replace(record, outputs={"label": [n % 2]}) for n, record in enumerate(records(150))]
        assert (await case.found(written))[0].labelled == 0
        told = [Feedback(record.prediction_id, "label", 0, BEGAN + 500) for record in written[:100]]
        others = [Feedback("nobody", "label", 0, BEGAN), Feedback(written[0].prediction_id, "liked", True, BEGAN)]
        await case.log.add_feedback([*told, *others])
        await case.look()
        await case.look()
        found = await case.found(records(150, seed=1, began=BEGAN + 2000))
        assert [(window.labelled, window.right) for window in found] == [(0, 0), (100, 50)]
        assert found[1].found == ("quality",)
        assert found[1].details == ("quality: 50.0% of 100 were wrong, where 10.0% are usual",)

    run(work, tmp_path, thresholds=DriftThresholds(accuracy=0.9))


# ---- who is told -----------------------------------------------------------------------------------------------------


def test_a_webhook_hears_once_of_each_alert_and_of_its_end(tmp_path: Path) -> None:
    async def main() -> None:
        async with heard() as hook, case(tmp_path, hook.url, interval=200.0) as opened:
            await opened.found(records(200, moved=1.5))
            await opened.look()
            await opened.found(records(200, began=BEGAN + 200))
            await opened.found(records(200, seed=3, began=BEGAN + 400))
            first, second = hook.bodies
            assert (first["state"], first["raised"], first["version"]) == ("alert", ["length"], "1")
            assert first["text"] == "counting, m:1: length drifted"
            assert first["details"][0].startswith("length: ")
            assert (second["state"], second["cleared"]) == ("clear", ["length"])

    asyncio.run(main())


def test_a_webhook_that_fails_is_asked_again_with_the_same_number(tmp_path: Path) -> None:
    async def main() -> None:
        async with heard(500, 503) as hook, case(tmp_path, hook.url) as opened:
            await opened.found(records(200, moved=1.5))
            assert len(hook.bodies) == 3
            assert len({body["window"] for body in hook.bodies}) == 1
            await opened.look()
            assert len(hook.bodies) == 3

    asyncio.run(main())


@pytest.mark.parametrize("statuses", [(500, 500, 500), (302, 302, 302)], ids=["fails", "redirects"])
def test_what_a_webhook_did_not_take_is_counted_and_told_at_a_later_look(tmp_path: Path, statuses: Any) -> None:
    async def main() -> None:
        async with heard(*statuses) as hook, case(tmp_path, hook.url) as opened:
            await opened.found(records(200, moved=1.5))
            assert len(hook.bodies) == 3
            await opened.look()
            await opened.look()
            assert len(hook.bodies) == 4
            failures = opened.runtime.metrics.counter("mlpatterns_monitor_webhook_failures_total", "", piece="counting")
            assert failures.value == 1

    asyncio.run(main())


def test_a_webhook_that_is_not_there_keeps_no_window_from_being_judged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"http://127.0.0.1:{free_port()}/secret"

    async def work(case: Case) -> None:
        found = await case.found(records(200, moved=1.5))
        assert found[0].raised == ("length",)
        assert "did not accept an alert: ClientConnectorError" in caplog.text
        assert "secret" not in caplog.text

    run(work, tmp_path, alert_url=url)
