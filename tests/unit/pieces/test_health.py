"""The health of parts: what counts as well, and that none waits for another."""

from __future__ import annotations

import asyncio

from mlpatterns.pieces.health import PartHealth, health_of

from mlpatterns.base import Wrapper
from mlpatterns.errors import Unavailable
from mlpatterns.runtime import running
from mlpatterns.settings import Settings
from mlpatterns.testing import CountingModel


class Elsewhere(CountingModel):
    """A model that depends on something that may be down."""

    down = False

    async def check(self) -> None:
        if self.down:
            raise Unavailable("it cannot be reached")


def test_a_part_that_has_not_started_is_not_well() -> None:
    async def main() -> None:
        model = CountingModel()
        assert await health_of({"a": model}) == {"a": PartHealth("ng")}
        async with running(model, settings=Settings()):
            assert await health_of({"a": model}) == {"a": PartHealth("ok")}
        assert model.calls == 0

    asyncio.run(main())


def test_what_a_part_wraps_decides_too_and_the_others_stay_well() -> None:
    async def main() -> None:
        remote, local = Elsewhere("remote"), CountingModel("local")
        parts = {"far": Wrapper(Wrapper(remote)), "near": local}
        async with running(*parts.values(), settings=Settings()):
            remote.down = True
            assert await health_of(parts) == {"far": PartHealth("ng"), "near": PartHealth("ok")}
            remote.down = False
            assert await health_of(parts) == {"far": PartHealth("ok"), "near": PartHealth("ok")}

    asyncio.run(main())


def test_parts_are_asked_all_at_once() -> None:
    async def main() -> None:
        met = asyncio.Barrier(2)

        class Meeting(CountingModel):
            async def check(self) -> None:
                await met.wait()

        parts = {name: Meeting(name) for name in "ab"}
        async with running(*parts.values(), settings=Settings()), asyncio.timeout(10):
            assert set((await health_of(parts)).values()) == {PartHealth("ok")}

    asyncio.run(main())
