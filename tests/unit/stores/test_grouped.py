"""A thread that does what many ask for at once: in groups, each with its own result."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from mlpatterns.errors import Conflict, Unavailable
from mlpatterns.stores.grouped import GroupThread


def test_what_waits_while_it_works_is_done_together() -> None:
    groups: list[list[int]] = []
    free = threading.Event()

    def work(batch: Sequence[Any]) -> Sequence[Any]:
        groups.append(list(batch))
        free.wait(10)
        return [Conflict("odd") if number % 2 else number for number in batch]

    async def main() -> None:
        thread = GroupThread("test", work, lambda: None)
        first = asyncio.create_task(thread.submit(0))
        while not groups:
            await asyncio.sleep(0.001)
        rest = [asyncio.create_task(thread.submit(number)) for number in range(1, 5)]
        await asyncio.sleep(0)
        free.set()
        assert await first == 0
        ends = await asyncio.gather(*rest, return_exceptions=True)
        assert [end if isinstance(end, int) else type(end) for end in ends] == [Conflict, 2, Conflict, 4]
        await thread.close()

    asyncio.run(main())
    assert groups == [[0], [1, 2, 3, 4]]


def test_what_the_work_raises_each_gets_as_his_own() -> None:
    def work(batch: Sequence[Any]) -> Sequence[Any]:
        raise Unavailable("the disk is full", retry_after=3)

    async def main() -> None:
        thread = GroupThread("test", work, lambda: None)
        ends = await asyncio.gather(*[thread.submit(number) for number in range(3)], return_exceptions=True)
        assert [(type(end), str(end)) for end in ends] == [(Unavailable, "the disk is full")] * 3
        assert len({id(end) for end in ends}) == 3
        await thread.close()

    asyncio.run(main())


def test_what_cannot_be_done_harms_no_other() -> None:
    def work(batch: Sequence[Any]) -> Sequence[Any]:
        if None in batch:
            raise TypeError("nothing to do")
        return [number + 1 for number in batch]

    async def main() -> None:
        thread = GroupThread("test", work, lambda: None)
        ends = await asyncio.gather(*[thread.submit(what) for what in (1, None, 3)], return_exceptions=True)
        assert [end if isinstance(end, int) else type(end) for end in ends] == [2, TypeError, 4]
        await thread.close()
        with pytest.raises(Unavailable, match="closed"):
            await thread.submit(1)

    asyncio.run(main())


def test_the_result_of_one_who_left_is_handed_to_who_wants_it() -> None:
    left: list[int] = []
    free = threading.Event()

    def work(batch: Sequence[Any]) -> Sequence[Any]:
        free.wait(10)
        return batch

    async def main() -> None:
        thread = GroupThread("test", work, lambda: None)
        asking = asyncio.create_task(thread.submit(7, left.append))
        await asyncio.sleep(0.01)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        free.set()
        await thread.close()
        await asyncio.sleep(0)

    asyncio.run(main())
    assert left == [7]


def test_it_ends_when_all_is_done_and_closes_in_its_thread() -> None:
    where: list[str] = []

    async def main() -> None:
        thread = GroupThread("its name", lambda batch: batch, lambda: where.append(threading.current_thread().name))
        await thread.submit(1)
        await thread.close()
        await thread.close()

    asyncio.run(main())
    assert where == ["its name"]
