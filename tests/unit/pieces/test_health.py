"""The health of parts: what counts as well, and that none waits for another."""

from __future__ import annotations

import asyncio

from core import CALLER
from mlpatterns import FanOut, Pipeline
from mlpatterns.base import Wrapper
from mlpatterns.predictor import Health
from mlpatterns.runtime import running
from mlpatterns.settings import Settings
from mlpatterns.testing import CountingModel


class Elsewhere(CountingModel):
    """A model that depends on something that may be down."""

    down = False

    async def check(self) -> Health:
        return Health(False, "it cannot be reached") if self.down else self.health()


async def asked(whole: FanOut | Pipeline) -> dict[str, str]:
    """What the operation `health/all` answers."""
    (operation,) = whole.operations
    return {name: part.health for name, part in (await operation.handler(None, CALLER)).items()}


def test_a_part_that_has_not_started_is_not_well() -> None:
    async def main() -> None:
        model = CountingModel()
        whole = FanOut({"a": model})
        assert await asked(whole) == {"a": "ng"}
        assert whole.health() == Health(False, "counting cannot answer yet")
        async with running(whole, settings=Settings()):
            assert await asked(whole) == {"a": "ok"}
            assert whole.health() == Health()
        assert model.calls == 0

    asyncio.run(main())


def test_what_a_part_wraps_decides_too_and_the_others_stay_well() -> None:
    async def main() -> None:
        remote, local = Elsewhere("remote"), CountingModel("local")
        whole = FanOut({"far": Wrapper(Wrapper(remote)), "near": local})
        async with running(whole, settings=Settings()):
            remote.down = True
            assert await asked(whole) == {"far": "ng", "near": "ok"}
            assert await whole.check() == Health(False, "it cannot be reached")
            remote.down = False
            assert await asked(whole) == {"far": "ok", "near": "ok"}

    asyncio.run(main())


def test_parts_are_asked_all_at_once() -> None:
    async def main() -> None:
        met = asyncio.Barrier(2)

        class Meeting(CountingModel):
            async def check(self) -> Health:
                await met.wait()
                return Health()

        whole = FanOut({name: Meeting(name) for name in "ab"})
        async with running(whole, settings=Settings()), asyncio.timeout(10):
            assert set((await asked(whole)).values()) == {"ok"}

    asyncio.run(main())


def test_one_part_of_a_partial_answer_is_enough_when_asked_too() -> None:
    async def main() -> None:
        remote = Elsewhere("remote")
        whole = FanOut({"far": remote, "near": CountingModel("near")}, on_failure="partial")
        async with running(whole, settings=Settings()):
            remote.down = True
            assert await whole.check() == Health(True, "it cannot be reached")

    asyncio.run(main())


def test_a_pipeline_tells_of_its_stages_where_it_is_told_to() -> None:
    async def main() -> None:
        remote = Elsewhere("remote")
        whole = Pipeline(CountingModel("near"), remote, tells_health=True)
        assert Pipeline(CountingModel()).operations == ()
        async with running(whole, settings=Settings()):
            assert await asked(whole) == {"near": "ok", "remote": "ok"}
            remote.down = True
            assert await asked(whole) == {"near": "ok", "remote": "ng"}

    asyncio.run(main())
