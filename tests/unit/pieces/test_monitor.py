"""The piece Monitor: what it refuses, and what it answers; its program has tests of its own."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from mlpatterns import Monitor, Settings, running
from mlpatterns.stores import open_store
from mlpatterns.stores.monitor import MonitorCheckpoint, MonitorStore, Window
from mlpatterns.testing import CountingModel, client
from mlpatterns.user_errors import CompositionError, SettingsError


@pytest.mark.parametrize(
    "options", [{"interval": 0.0}, {"min_rows": 0}, {"min_rows": 11, "max_rows": 10}, {"rules": "magic"}]
)
def test_options_out_of_their_range_are_refused(options: Any) -> None:
    with pytest.raises(CompositionError, match="Monitor"):
        Monitor(CountingModel(), **options)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"log": "file:///tmp/x.jsonl"}, "no LogStore for file://"),
        ({"alert_url": "ftp://x"}, "alert_url must be an http"),
    ],
)
def test_what_it_cannot_read_or_tell_is_refused_at_the_start(tmp_path: Path, settings: Any, said: str) -> None:
    async def main() -> None:
        async with running(Monitor(CountingModel()), settings=Settings(home=tmp_path, **settings)):
            raise AssertionError("it must not start")

    with pytest.raises(SettingsError, match=said):
        asyncio.run(main())


def test_what_was_found_is_read_from_the_store_by_any_process(tmp_path: Path) -> None:
    window = Window("m", "1", 0.0, 1.0, 200, 200, alerting=("length",))

    async def main() -> None:
        settings = Settings(home=tmp_path)
        store: MonitorStore = await open_store(MonitorStore, settings.monitor_url)  # type: ignore[type-abstract]
        await store.claim("counting", "another")
        await store.save("counting", MonitorCheckpoint(), [window], holder="another", notify=False)
        await store.close()
        app = Monitor(CountingModel())
        async with client(app, settings=Settings(home=tmp_path, programs="off")) as http:
            windows = (await http.get("/drift")).json()["windows"]
            assert [window["alerting"] for window in windows] == [["length"]]
            assert (await http.get("/drift", params={"version": "7"})).json() == {"windows": []}
            wrong = await http.get("/drift", params={"limit": "0"})
            assert (wrong.status_code, wrong.json()["error"][:28]) == (400, "the request is not right: ex")

    asyncio.run(main())
