"""The contract of the backends of a queue. The test of a backend inherits the class and opens the backend."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

import pytest

from mlpatterns.errors import Conflict, Overloaded
from mlpatterns.stores import open_store
from mlpatterns.stores.jobs import Bounds, Claim, ClaimRequest, Finish, JobStore, NewJob, Retention, SweepResult

JOBS = 60
WIDE, KEEPING = Bounds(1000, 10**9), Retention(3, 60.0, 60.0)
Stores = Sequence[JobStore]


def job(name: str, request: bytes = b"what is asked", timeout: float = 60.0, **fields: Any) -> NewJob:
    return NewJob(name, request, timeout, **fields)


def wanted(most: int = 10, lease: float = 30.0, hold: float = 60.0, *, alone: bool = True,
           lost: Callable[[Claim], None] = lambda claim: None) -> ClaimRequest:  # fmt: skip
    return ClaimRequest(most, lease, hold, alone, lost)


def done(claim: Claim, response: bytes = b"the answer") -> Finish:
    return Finish(claim, "done", response, keep=60.0)


async def claimed(store: JobStore, *arguments: Any, **options: Any) -> list[Claim]:
    return list((await store.claim("q", wanted(*arguments, **options))).claims)


async def state(store: JobStore, name: str) -> str:
    found = await store.get("q", name)
    return "none" if found is None else found.state


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while not await holds():
            await asyncio.sleep(0.01)


class JobStoreContract:
    """Inherit it and define `url`, a fixture with the URL of a new, empty store."""

    @pytest.fixture
    def url(self) -> str:
        raise NotImplementedError("a backend's test gives the URL of a fresh store")

    @pytest.fixture
    def run(self, url: str) -> Callable[..., None]:
        def run(work: Callable[..., Awaitable[None]], count: int = 1) -> None:
            async def main() -> None:
                async with AsyncExitStack() as stack:
                    stores = []
                    for _ in range(count):
                        store: Any = await open_store(JobStore, url)
                        stack.push_async_callback(store.close)
                        stores.append(store)
                    await work(*stores)

            asyncio.run(main())

        return run

    # ---- the life cycle of a job ----

    def test_a_job_is_queued_claimed_and_done(self, run: Any) -> None:
        async def work(server: JobStore, worker: JobStore) -> None:
            assert await claimed(worker) == []
            assert await state(server, "a") == "none"
            assert await server.enqueue("q", job("a", b"\x00\xff", principal="ann"), WIDE) == "a"
            assert await state(server, "a") == "queued"
            (claim,) = await claimed(worker)
            assert (claim.id, claim.request, claim.failures) == ("a", b"\x00\xff", 0)
            assert 0 < claim.seconds_left <= 60
            assert await state(server, "a") == "running"
            assert await claimed(worker) == []
            assert await worker.finish("q", done(claim, b"\xfe"))
            found = await server.get("q", "a")
            assert found is not None
            assert (found.state, found.response, found.principal) == ("done", b"\xfe", "ann")

        run(work, 2)

    def test_the_oldest_are_claimed_first_and_no_more_than_wished(self, run: Any) -> None:
        async def work(store: JobStore) -> None:
            for number in range(5):
                await store.enqueue("q", job(str(number)), WIDE)
            assert [each.id for each in await claimed(store, 2)] == ["0", "1"]
            assert [each.id for each in await claimed(store, 9)] == ["2", "3", "4"]

        run(work)

    def test_large_requests_and_answers_are_whole(self, run: Any) -> None:
        bodies = {str(size): random.Random(size).randbytes(size) for size in (0, 1, 16_383, 16_384, 200_000)}

        async def work(store: JobStore) -> None:
            for name, body in bodies.items():
                await store.enqueue("q", job(name, body), WIDE)
            for claim in await claimed(store):
                assert claim.request == bodies[claim.id]
                await store.finish("q", done(claim, claim.request))
            for name, body in bodies.items():
                found = await store.get("q", name)
                assert found is not None
                assert found.response == body

        run(work)

    def test_queues_of_one_store_are_apart(self, run: Any) -> None:
        async def work(store: JobStore) -> None:
            await store.enqueue("q", job("a"), WIDE)
            await store.enqueue("other", job("a", b"another"), WIDE)
            assert [each.request for each in await claimed(store)] == [b"what is asked"]
            assert (await store.figures("other")).queued == 1
            assert await store.get("third", "a") is None

        run(work)

    # ---- repeated requests ----

    def test_the_same_key_is_the_same_job_and_another_body_a_conflict(self, run: Any) -> None:
        async def work(store: JobStore) -> None:
            first = await store.enqueue("q", job("a", key="k", digest="1", principal="ann"), WIDE)
            assert await store.enqueue("q", job("b", key="k", digest="1", principal="ann"), WIDE) == first == "a"
            with pytest.raises(Conflict, match="Idempotency-Key"):
                await store.enqueue("q", job("c", key="k", digest="2", principal="ann"), WIDE)
            assert await store.enqueue("q", job("d", key="k", digest="2", principal="bob"), WIDE) == "d"
            assert await store.enqueue("other", job("e", key="k", digest="2", principal="ann"), WIDE) == "e"
            (claim, _) = await claimed(store)
            await store.finish("q", done(claim))
            assert await store.enqueue("q", job("f", key="k", digest="1", principal="ann"), WIDE) == "a"
            assert (await store.figures("q")).queued == 0

        run(work)

    def test_of_many_who_ask_at_once_with_one_key_all_get_one_job(self, run: Any) -> None:
        async def work(*stores: JobStore) -> None:
            asked = [stores[n % 2].enqueue("q", job(f"j{n}", key="k", digest="1"), WIDE) for n in range(40)]
            assert len(set(await asyncio.gather(*asked))) == 1
            assert (await stores[0].figures("q")).queued == 1

        run(work, 2)

    def test_an_id_is_one_job(self, run: Any) -> None:
        async def work(store: JobStore) -> None:
            assert await store.enqueue("q", job("a"), WIDE) == "a"
            assert await store.enqueue("q", job("a"), WIDE) == "a"
            with pytest.raises(Conflict):
                await store.enqueue("q", job("a", principal="bob"), WIDE)
            assert (await store.figures("q")).queued == 1

        run(work)

    # ---- bounds ----

    def test_a_full_queue_refuses_until_a_job_ends(self, run: Any) -> None:
        async def work(store: JobStore) -> None:
            for bounds in (Bounds(2, 10**6), Bounds(100, 20)):
                asked = [store.enqueue("q", job(f"{bounds.jobs}-{n}", b"0123456789"), bounds) for n in range(3)]
                ends = await asyncio.gather(*asked, return_exceptions=True)
                assert [type(end) for end in ends] == [str, str, Overloaded]
                for claim in await claimed(store):
                    await store.finish("q", done(claim))
                await store.enqueue("q", job("more", b"0123456789"), bounds)
                await store.cancel("q", "more", 60)
            figures = await store.figures("q")
            assert (figures.queued, figures.running, figures.bytes) == (0, 0, 0)

        run(work)

    # ---- fencing of late workers ----

    def test_what_is_said_of_a_job_counts_once(self, run: Any) -> None:
        async def work(store: JobStore) -> None:
            await store.enqueue("q", job("a"), WIDE)
            (claim,) = await claimed(store)
            ends = await asyncio.gather(*[store.finish("q", done(claim, b"%d" % n)) for n in range(5)])
            assert sorted(ends) == [False, False, False, False, True]
            assert not await store.finish("q", Finish(claim, "failed", keep=60))
            assert await state(store, "a") == "done"

        run(work)

    def test_who_has_lost_a_job_cannot_end_it(self, run: Any) -> None:
        async def work(store: JobStore) -> None:
            await store.enqueue("q", job("a"), WIDE)
            (first,) = await claimed(store)
            assert await store.finish("q", Finish(first, "queued"))
            (second,) = await claimed(store)
            assert second.attempt > first.attempt
            assert not await store.finish("q", done(first, b"late"))
            assert await store.finish("q", done(second, b"right"))
            found = await store.get("q", "a")
            assert found is not None
            assert found.response == b"right"

        run(work)

    def test_a_job_put_back_waits_for_its_time_and_counts_only_if_it_is_to(self, run: Any) -> None:
        async def work(store: JobStore) -> None:
            await store.enqueue("q", job("a"), WIDE)
            (claim,) = await claimed(store)
            await store.finish("q", Finish(claim, "queued", code="UNAVAILABLE", error="down", delay=0.2))
            empty = await store.claim("q", wanted())
            assert not empty.claims
            assert empty.next_due is not None
            assert 0 < empty.next_due <= 0.2
            await asyncio.sleep(empty.next_due + 0.01)
            (claim,) = await claimed(store)
            assert claim.failures == 0
            await store.finish("q", Finish(claim, "queued", counted=True))
            (claim,) = await claimed(store)
            assert claim.failures == 1

        run(work)

    # ---- leases ----

    def test_the_lease_of_a_worker_that_lives_is_renewed(self, run: Any) -> None:
        lost: list[Claim] = []

        async def work(store: JobStore) -> None:
            await store.enqueue("q", job("a"), WIDE)
            (claim,) = await claimed(store, lease=0.5, lost=lost.append)
            time.sleep(0.9)  # blocks the event loop, but the lease must still be renewed
            assert await store.sweep("q", KEEPING) == SweepResult()
            assert await store.finish("q", done(claim))

        run(work)
        assert lost == []

    def test_the_jobs_of_a_worker_that_ended_go_to_another_and_it_learns_of_it(self, run: Any) -> None:
        lost: list[Claim] = []

        async def work(dead: JobStore, other: JobStore) -> None:
            await other.enqueue("q", job("a"), WIDE)
            (first,) = await claimed(dead, lease=0.15, hold=0.01, lost=lost.append)  # not renewed
            assert await claimed(other) == []

            async def lapsed() -> bool:
                return (await other.sweep("q", KEEPING)).lapsed == 1

            async def learned() -> bool:
                return len(lost) == 1

            await until(lapsed)
            await until(learned)  # a store may report the loss later than the other store detects it
            (second,) = await claimed(other)
            assert (second.failures, second.attempt > first.attempt) == (1, True)
            assert not await dead.finish("q", done(first, b"late"))
            assert await other.finish("q", done(second))

        run(work, 2)
        assert [claim.id for claim in lost] == ["a"]

    def test_a_job_that_its_worker_ended_with_is_claimed_alone_by_one_that_holds_no_other(self, run: Any) -> None:
        async def work(store: JobStore) -> None:
            for name in ("a", "b", "c"):
                await store.enqueue("q", job(name), WIDE)
            await claimed(store, 2, lease=0.05, hold=0.001)
            await asyncio.sleep(0.15)
            assert (await store.sweep("q", KEEPING)).lapsed == 2
            assert [each.id for each in await claimed(store, alone=False)] == ["c"]
            assert [each.id for each in await claimed(store)] == ["a"]
            assert await claimed(store, alone=False) == []

        run(work)

    def test_a_job_that_ends_its_worker_each_time_is_a_dead_letter(self, run: Any) -> None:
        async def work(store: JobStore) -> None:
            await store.enqueue("q", job("a"), WIDE)
            for _ in range(3):
                assert await claimed(store, lease=0.02, hold=0.001)
                await asyncio.sleep(0.05)
                swept = await store.sweep("q", KEEPING)
            assert swept == SweepResult(1, 1, 0)
            (letter,) = await store.dead("q", "", 10)
            assert (letter.id, letter.code, letter.attempts) == ("a", "INTERNAL", 3)
            assert "worker ended" in letter.error

        run(work)

    # ---- ends ----

    def test_a_job_that_nobody_does_in_its_time_is_a_dead_letter(self, run: Any) -> None:
        async def work(store: JobStore) -> None:
            await store.enqueue("q", job("a", timeout=0.02), WIDE)
            await asyncio.sleep(0.05)
            assert await store.sweep("q", KEEPING) == SweepResult(0, 1, 0)
            (letter,) = await store.dead("q", "", 10)
            assert letter.code == "DEADLINE"
            assert (await store.figures("q")).dead == 1

        run(work)

    def test_dead_letters_are_listed_in_pages_and_replayed(self, run: Any) -> None:
        async def work(store: JobStore) -> None:
            for name in "abc":
                await store.enqueue("q", job(name), WIDE)
            for claim in await claimed(store):
                await store.finish("q", Finish(claim, "dead", code="INTERNAL", error="it broke", keep=60))
            assert [each.id for each in await store.dead("q", "a", 1)] == ["b"]
            assert (await store.figures("q")).bytes == 0
            assert await store.replay("q", ["b", "none"], 60) == 1
            assert await store.replay("q", ["b"], 60) == 0
            assert await store.replay("q", None, 60) == 2
            again = await claimed(store)
            assert sorted((each.id, each.failures, each.request) for each in again) == [
                (name, 0, b"what is asked") for name in "abc"
            ]
            assert all(each.attempt == 2 for each in again)

        run(work)

    def test_a_cancelled_job_is_not_claimed_and_the_result_of_one_that_runs_is_not_taken(self, run: Any) -> None:
        lost: list[Claim] = []

        async def work(store: JobStore) -> None:
            await store.enqueue("q", job("a"), WIDE)
            await store.enqueue("q", job("b"), WIDE)
            (claim,) = await claimed(store, 1, lease=0.1, lost=lost.append)
            for name in ("a", "b"):
                found = await store.cancel("q", name, 60)
                assert found is not None
                assert found.state == "cancelled"
            assert await claimed(store) == []
            await asyncio.sleep(0.15)  # until the time of the next renewal
            assert not await store.finish("q", done(claim))
            assert await store.cancel("q", "none", 60) is None
            await store.enqueue("q", job("c"), WIDE)
            (claim,) = await claimed(store)
            await store.finish("q", done(claim))
            found = await store.cancel("q", "c", 60)
            assert found is not None
            assert found.state == "done"

        run(work)
        assert [claim.id for claim in lost] == ["a"]

    def test_ended_jobs_are_forgotten_with_their_keys_when_their_time_is_over(self, run: Any) -> None:
        async def work(store: JobStore) -> None:
            await store.enqueue("q", job("a", key="k", digest="1"), WIDE)
            await store.enqueue("q", job("b"), WIDE)
            one, two = await claimed(store)
            await store.finish("q", Finish(one, "done", b"x", keep=0.01))
            await store.finish("q", Finish(two, "done", b"x", keep=60))
            await asyncio.sleep(0.03)
            assert (await store.sweep("q", KEEPING)).forgotten == 1
            assert (await state(store, "a"), await state(store, "b")) == ("none", "done")
            assert await store.enqueue("q", job("c", key="k", digest="2"), WIDE) == "c"

        run(work)

    # ---- waiting ----

    def test_who_waits_for_a_job_learns_of_its_end_from_any_process(self, run: Any) -> None:
        async def work(server: JobStore, worker: JobStore) -> None:
            for store in (server, worker):
                await server.enqueue("q", job(f"of {store is server}"), WIDE)
                (claim,) = await claimed(store)
                waiting = [asyncio.create_task(server.wait("q", claim.id, 20)) for _ in range(3)]
                await asyncio.sleep(0.05)
                assert not any(each.done() for each in waiting)
                await store.finish("q", done(claim))
                for each in waiting:
                    found = await asyncio.wait_for(each, 10)
                    assert found is not None
                    assert found.state == "done"

        run(work, 2)

    def test_who_waits_in_vain_is_told_so_when_his_time_is_over(self, run: Any) -> None:
        async def work(store: JobStore) -> None:
            await store.enqueue("q", job("a"), WIDE)
            found = await store.wait("q", "a", 0.05)
            assert found is not None
            assert found.state == "queued"
            assert await store.wait("q", "none", 20) is None

        run(work)

    def test_a_change_of_another_process_is_told(self, run: Any) -> None:
        async def work(server: JobStore, worker: JobStore) -> None:
            await claimed(worker)
            await worker.changes.wait(worker.changes.count, 0.2)
            seen = worker.changes.count
            waiting = asyncio.create_task(worker.changes.wait(seen, 20))
            await asyncio.sleep(0.03)
            await server.enqueue("q", job("a"), WIDE)
            await asyncio.wait_for(waiting, 10)
            assert [each.id for each in await claimed(worker)] == ["a"]

        run(work, 2)

    def test_what_a_worker_says_of_its_model_is_kept(self, run: Any) -> None:
        async def work(server: JobStore, worker: JobStore) -> None:
            assert await server.description("q") is None
            await worker.describe("q", b"one")
            await worker.describe("q", b"two")
            found = await server.description("q")
            assert found is not None
            assert (found.text, found.age < 10) == (b"two", True)
            assert await server.description("other") is None

        run(work, 2)

    def test_who_leaves_while_jobs_are_claimed_for_him_takes_none_along(self, run: Any) -> None:
        async def work(store: JobStore) -> None:
            await store.enqueue("q", job("a"), WIDE)
            leaving = asyncio.create_task(claimed(store))
            await asyncio.sleep(0)
            leaving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await leaving

            async def back() -> bool:
                return bool(await claimed(store))

            await until(back)

        run(work)

    # ---- all actions together ----

    def test_whatever_workers_do_each_job_is_committed_once_and_the_bounds_are_right(self, run: Any) -> None:
        """Workers finish, fail, return jobs, stall and answer late, in a random order."""
        chance = random.Random(7)

        async def work(*stores: JobStore) -> None:
            for number in range(JOBS):
                await stores[0].enqueue("q", job(f"j{number:02}", bytes(number)), WIDE)
            workers = RandomWorkers(chance, stores)
            for _ in range(400):
                await workers.step()
            jobs = [found for n in range(JOBS) if (found := await stores[0].get("q", f"j{n:02}")) is not None]
            assert len(jobs) == JOBS
            assert set(workers.committed.values()) <= {0, 1}
            assert {name for name, count in workers.committed.items() if count} == {
                found.id for found in jobs if found.state == "done"
            }
            going = [found for found in jobs if found.state in ("queued", "running")]
            figures = await stores[0].figures("q")
            assert figures.queued + figures.running == len(going)
            assert figures.bytes == sum(int(found.id[1:]) for found in going)

        run(work, 3)


class RandomWorkers:
    """Random actions of several workers and an operator. Counts the commits of each job."""

    def __init__(self, chance: random.Random, stores: Stores) -> None:
        self.committed: Counter[str] = Counter()
        self._chance, self._stores = chance, stores
        self._late: list[Claim] = []

    async def step(self) -> None:
        chance, store = self._chance, self._chance.choice(self._stores)
        dies = chance.random() < 0.4
        options = {"lease": 0.001, "hold": 0.0005} if dies else {}
        for claim in await claimed(store, chance.randint(1, 8), alone=chance.random() < 0.5, **options):
            if dies:
                self._late.append(claim)
            else:
                await self._end(store, claim)
        if self._late and chance.random() < 0.5:
            claim = self._late.pop(chance.randrange(len(self._late)))
            self.committed[claim.id] += await store.finish("q", done(claim, b"late"))
        if chance.random() < 0.2:
            await store.sweep("q", Retention(4, 60, 60))
        if chance.random() < 0.1:
            await store.replay("q", None, 60)

    async def _end(self, store: JobStore, claim: Claim) -> None:
        match self._chance.choice(["done", "done", "done", "failed", "back", "late", "cancel", "dead"]):
            case "done":
                self.committed[claim.id] += await store.finish("q", done(claim))
            case "cancel":
                await store.cancel("q", claim.id, 60)
            case "dead":
                await store.finish("q", Finish(claim, "dead", keep=60))
            case what:
                await store.finish("q", Finish(claim, "queued", counted=what == "failed"))
                if what == "late":
                    self._late.append(claim)
