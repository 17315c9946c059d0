"""The contract of every MonitorStore. The test of a backend inherits the class."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from msgspec.structs import replace

from mlpatterns.analysis.hysteresis import AlertState
from mlpatterns.analysis.profile import DataProfile
from mlpatterns.errors import Conflict
from mlpatterns.stores import open_store
from mlpatterns.stores.monitor import MonitorCheckpoint, MonitorStore, OpenWindow, Window
from mlpatterns.user_errors import SettingsError

FULL = MonitorCheckpoint(
    7, 3, (OpenWindow("iris", "1", 1.0, 2.0, 3, 4, {"a": [1.5, None], "日": ["x", None]}, 1, 4, 2, 1),),
    {"iris:1": AlertState((("a",), ()), ("a",))}, {"iris:1": DataProfile(0, ())},
)  # fmt: skip


def window(number: int, version: str = "1", **fields: Any) -> Window:
    return Window("iris", version, float(number), number + 0.5, 2, 3, **fields)


class MonitorStoreContract:
    """Inherit it and define `url`, a fixture with the URL of a new, empty store."""

    @pytest.fixture
    def url(self) -> str:
        raise NotImplementedError("a backend's test gives the URL of a fresh store")

    @pytest.fixture
    def run(self, url: str) -> Callable[..., None]:
        def run(work: Callable[[MonitorStore], Awaitable[None]], options: str = "") -> None:
            async def main() -> None:
                store: MonitorStore = await open_store(MonitorStore, f"{url}{options}")  # type: ignore[type-abstract]
                try:
                    await work(store)
                finally:
                    await store.close()

            asyncio.run(main())

        return run

    def test_what_was_saved_is_there_for_who_claims_it_later(self, run: Any) -> None:
        async def write(store: MonitorStore) -> None:
            assert await store.claim("a", "one") == MonitorCheckpoint()
            await store.save("a", FULL, [window(1)], holder="one", notify=False)

        async def read(store: MonitorStore) -> None:
            assert await store.claim("a", "two") == FULL
            assert await store.claim("b", "two") == MonitorCheckpoint()

        run(write)
        run(read)

    def test_who_was_replaced_can_write_nothing(self, run: Any) -> None:
        async def work(store: MonitorStore) -> None:
            await store.claim("a", "one")
            await store.claim("a", "two")
            with pytest.raises(Conflict):
                await store.save("a", FULL, [window(1)], holder="one", notify=False)
            assert await store.windows("a") == ()
            assert await store.claim("a", "two") == MonitorCheckpoint()
            await store.save("a", FULL, [window(2)], holder="two", notify=False)

        run(work)

    def test_windows_come_newest_first_of_one_monitor_and_of_one_version_if_asked(self, run: Any) -> None:
        async def work(store: MonitorStore) -> None:
            for path in ("a", "b"):
                await store.claim(path, "one")
            await store.save("a", FULL, [window(1), window(2, "2"), window(3)], holder="one", notify=False)
            await store.save("b", FULL, [window(4)], holder="one", notify=False)
            found = await store.windows("a")
            assert [replace(each, number=0) for each in found] == [window(3), window(2, "2"), window(1)]
            assert [each.began for each in await store.windows("a", version="1")] == [3.0, 1.0]
            assert [each.began for each in await store.windows("a", limit=1)] == [3.0]
            assert len({each.number for each in found}) == 3

        run(work)

    def test_windows_in_which_an_alert_began_or_ended_are_told_once(self, run: Any) -> None:
        async def work(store: MonitorStore) -> None:
            await store.claim("a", "one")
            changes = [window(1), window(2, raised=("a",)), window(3, cleared=("a",))]
            await store.save("a", FULL, changes, holder="one", notify=True)
            await store.save("a", FULL, [window(4, raised=("b",))], holder="one", notify=False)
            unnotified = await store.unnotified("a", 0.0)
            assert [each.began for each in unnotified] == [2.0, 3.0]
            assert [each.began for each in await store.unnotified("a", 3.0)] == [3.0]
            await store.mark_notified("a", unnotified[0].number)
            assert [each.began for each in await store.unnotified("a", 0.0)] == [3.0]
            assert await store.unnotified("b", 0.0) == ()

        run(work)

    def test_the_oldest_windows_go_first(self, run: Any) -> None:
        async def work(store: MonitorStore) -> None:
            await store.claim("a", "one")
            for number in range(6):
                await store.save("a", FULL, [window(number)], holder="one", notify=False)
            assert [each.began for each in await store.windows("a")] == [5.0, 4.0, 3.0]

        run(work, "?max_windows=3")

    def test_an_unknown_option_is_refused(self, run: Any) -> None:
        async def work(store: MonitorStore) -> None:
            raise AssertionError("it must not open")

        with pytest.raises(SettingsError, match="has no option 'colour'"):
            run(work, "?colour=red")
