"""Caches outside the process: shared by processes, and of no harm when their server is slow, gone, or back."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core import CALLER, noted
from integration.redis_server import RedisServer, redis_server
from mlpatterns import DataCache, PredictionCache
from mlpatterns.metrics import ProcessMetrics
from mlpatterns.pieces.cache.guarded_store import FAILURES, REST
from mlpatterns.runtime import running
from mlpatterns.settings import Settings
from mlpatterns.stores import open_store
from mlpatterns.stores.cache import CacheStore
from mlpatterns.testing import CountingModel, FakeClock, free_port, process, request
from services import redis_prefix

pytestmark = pytest.mark.integration

PROCESSES, EACH = 4, 50
WRITER = """
import asyncio, sys
from contracts.stores import entry, same
from mlpatterns.errors import Unavailable
from mlpatterns.stores import open_store
from mlpatterns.stores.cache import CacheStore

async def main(url, writer, each):
    store = await open_store(CacheStore, url)
    for n in range(each):
        await store.set_many({f"a:{writer}-{n}": entry(100 * writer + n), "a:common": entry(writer)}, 60)
        found = await store.get_many([f"a:{writer}-{n}", "a:common"])
        same(found[f"a:{writer}-{n}"], entry(100 * writer + n))
        assert "a:common" in found
    await store.close()

asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
"""


@pytest.fixture(params=["sqlite", "redis"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'cache.db'}"
    else:
        with redis_prefix() as url:
            yield url


@pytest.mark.slow
def test_several_processes_write_at_once_and_each_finds_what_all_wrote(url: str) -> None:
    from contracts.stores import entry, same

    tests = str(Path(__file__).parents[1])
    processes = [
        subprocess.Popen([sys.executable, "-c", WRITER, url, str(number), str(EACH)], cwd=tests, stderr=subprocess.PIPE)
        for number in range(PROCESSES)
    ]
    try:
        for writer in processes:
            _, complaint = writer.communicate(timeout=60)
            assert writer.returncode == 0, complaint.decode()
    finally:
        for writer in processes:
            writer.kill()  # of one that has ended this is nothing
            writer.communicate()

    async def main() -> None:
        store: Any = await open_store(CacheStore, url)
        keys = {f"a:{writer}-{n}": 100 * writer + n for writer in range(PROCESSES) for n in range(EACH)}
        found = await store.get_many(list(keys))
        assert set(found) == set(keys)
        for key, value in keys.items():
            same(found[key], entry(value))
        assert await store.clear("a:") == len(keys) + 1
        await store.close()

    asyncio.run(main())


def test_two_caches_of_one_store_answer_for_each_other_and_after_a_restart(url: str) -> None:
    for calls, state in ((1, "miss"), (0, "hit")):
        model = CountingModel()

        async def work(model: CountingModel = model, state: str = state) -> None:
            cache = PredictionCache(model, store=url, store_timeout=5)
            async with running(cache, settings=Settings()):
                assert await ask(cache, 1) == (1, state)

        asyncio.run(work())
        assert model.calls == calls


def test_a_crowd_looks_in_the_store_once_and_a_second_crowd_finds_the_answer_there(url: str) -> None:
    async def main() -> None:
        model = CountingModel()
        cache = PredictionCache(model, store=url, store_timeout=5)
        async with running(cache, settings=Settings()):
            first = [await found for found in asyncio.as_completed([ask(cache, 1) for _ in range(50)])]
            assert sorted(state for _, state in first) == ["joined"] * 49 + ["miss"]
            second = await asyncio.gather(*[ask(cache, 1) for _ in range(50)])
            assert {state for _, state in second} == {"hit"}
            assert model.calls == 1

    asyncio.run(main())


def test_rows_that_one_process_prepared_are_hits_of_another_and_of_no_prediction_cache(url: str) -> None:
    async def rows(cache: Any, *values: float) -> tuple[list[float], str]:
        asked = request([[value] for value in values])
        answer = await cache.predict(asked)
        return answer.outputs["probabilities"][:, 0].tolist(), noted(asked.context, "data-cache")

    async def main() -> None:
        for expected in ("miss", "hit", "3 hit, 1 miss"):
            model = CountingModel()
            async with running(cache := DataCache(model, store=url, store_timeout=5), settings=Settings()):
                more = (9.0,) if "," in expected else ()
                assert await rows(cache, 1.0, 2.0, 3.0, *more) == ([1.0, 2.0, 3.0, *more], expected)
                assert model.calls == (expected != "hit")
        async with running(whole := PredictionCache(CountingModel(), store=url, store_timeout=5), settings=Settings()):
            assert await ask(whole, 1) == (1, "miss")

    asyncio.run(main())


APP = """
from mlpatterns import PredictionCache, serve
from mlpatterns.testing import CountingModel

app = serve(lambda: PredictionCache(CountingModel()))
"""


@pytest.mark.slow
def test_answers_of_a_server_with_two_workers_outlive_it(url: str, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)

    async def states() -> list[str]:
        async with process(tmp_path / "app.py", "--workers", "2", environ={"MLPATTERNS_CACHE": url}) as server:
            answers = [await server.http.post("/predict", json={"data": [[float(n)]]}) for n in range(20)]
            assert [answer.json() for answer in answers] == [{"prediction": [float(n)]} for n in range(20)]
            return [answer.headers["x-mlp-cache"] for answer in answers]

    assert asyncio.run(states()) == ["miss"] * 20
    assert "hit" in asyncio.run(states())  # not all of them where a busy machine lets a look-up take 50 ms


@pytest.mark.slow
def test_a_server_whose_redis_is_killed_and_comes_back_under_load_fails_no_request(
    server: RedisServer, tmp_path: Path
) -> None:
    (tmp_path / "app.py").write_text(APP)

    async def main() -> None:
        async with process(tmp_path / "app.py", environ={"MLPATTERNS_CACHE": server.url}) as served:

            async def load(first: int) -> None:
                for n in range(first, first + 100):
                    answer = await served.http.post("/predict", json={"data": [[float(n % 250)]]})
                    assert (answer.status_code, answer.json()) == (200, {"prediction": [float(n % 250)]})

            async def faults() -> None:
                for fault in (server.freeze, server.thaw, server.kill, server.start):
                    await asyncio.sleep(0.1)
                    await asyncio.to_thread(fault)

            await asyncio.gather(faults(), *(load(100 * number) for number in range(10)))
            assert (await served.http.get("/cache")).json()["store_errors"] > 0  # they were felt

    asyncio.run(main())


# ---- faults of a real Redis ----------------------------------------------------------------------------------------


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as server:
        yield server


Work = Callable[[PredictionCache, CountingModel, FakeClock], Awaitable[None]]


def run(url: str, work: Work, timeout: float = 0.05) -> dict[str, float]:
    """Runs `work` with a cache at `url` whose clock stands still; returns the counters of its metrics."""
    metrics, clock, model = ProcessMetrics(), FakeClock(), CountingModel()
    cache = PredictionCache(model, store=url, store_timeout=timeout)

    async def main() -> None:
        async with running(cache, settings=Settings(), clock=clock, metrics=metrics):
            await work(cache, model, clock)

    asyncio.run(main())
    return {sample.family.name: sample.values[0] for sample in metrics.samples() if sample.family.kind == "counter"}


async def ask(cache: PredictionCache, value: float) -> tuple[float, str]:
    asked = request([[value]])
    response = await cache.predict(asked)
    return float(response.outputs["probabilities"][0, 0]), noted(asked.context, "cache")


async def stored(cache: PredictionCache, value: float) -> None:
    """Asks, and returns when the answer is in the store."""
    await ask(cache, value)
    for _ in range(500):
        if not (cache._store._waiting or cache._store._batch):
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the answer was not stored in time")


async def recovers(cache: PredictionCache, clock: FakeClock) -> None:
    """Answers come from the store again, once its rests are over."""
    for _ in range(50):
        await clock.advance(REST)
        if (await ask(cache, 77))[1] == "hit":
            return
        await asyncio.sleep(0.02)
    raise AssertionError("the store is not used again")


def test_a_redis_that_hangs_fails_no_request_and_is_soon_left_alone(server: RedisServer) -> None:
    async def work(cache: PredictionCache, model: CountingModel, clock: FakeClock) -> None:
        await stored(cache, 1)
        server.freeze()
        for number in range(100, 150):
            assert await ask(cache, number) == (number, "miss")
        figures: Any = await cache.operations[0].handler(None, CALLER)
        # Only these waited, 50 ms each; a write that was given up may be among them.
        assert figures.store_errors <= FAILURES + 1
        assert figures.resting
        server.thaw()
        await recovers(cache, clock)

    counted = run(server.url, work)
    assert counted["mlpatterns_cache_store_errors_total"] >= FAILURES


def test_a_redis_that_is_killed_fails_no_request_and_is_used_again_when_it_is_back(server: RedisServer) -> None:
    async def work(cache: PredictionCache, model: CountingModel, clock: FakeClock) -> None:
        await stored(cache, 1)
        server.kill()
        for number in range(100, 150):
            assert await ask(cache, number) == (number, "miss")
        figures: Any = await cache.operations[0].handler(None, CALLER)
        assert figures.resting
        server.start()
        await recovers(cache, clock)

    counted = run(server.url, work)
    assert counted["mlpatterns_cache_store_errors_total"] >= FAILURES
    assert counted["mlpatterns_cache_dropped_total"] > 0


def test_a_redis_that_restarts_between_two_requests_costs_no_error_at_all(server: RedisServer) -> None:
    async def work(cache: PredictionCache, model: CountingModel, clock: FakeClock) -> None:
        await stored(cache, 1)
        server.kill()
        server.start()
        assert await ask(cache, 1) == (1, "miss")
        await stored(cache, 1)

    assert run(server.url, work, timeout=5)["mlpatterns_cache_store_errors_total"] == 0


def test_a_redis_that_is_down_at_start_does_not_keep_it_from_starting() -> None:
    async def work(cache: PredictionCache, model: CountingModel, clock: FakeClock) -> None:
        for number in range(20):
            assert await ask(cache, number) == (number, "miss")

    assert run(f"redis://127.0.0.1:{free_port()}", work)["mlpatterns_cache_store_errors_total"] >= FAILURES


def test_a_redis_that_is_full_fails_no_request_and_is_counted(server: RedisServer) -> None:
    from redis import Redis

    with Redis.from_url(server.url) as redis:
        redis.config_set("maxmemory-policy", "noeviction")
        redis.config_set("maxmemory", "1mb")

        async def work(cache: PredictionCache, model: CountingModel, clock: FakeClock) -> None:
            for number in range(20):
                assert await ask(cache, number) == (number, "miss")
                await asyncio.sleep(0.01)

        assert run(server.url, work)["mlpatterns_cache_dropped_total"] > 0


def test_values_that_others_put_there_are_misses_and_counted(server: RedisServer) -> None:
    from redis import Redis

    async def work(cache: PredictionCache, model: CountingModel, clock: FakeClock) -> None:
        await stored(cache, 1)
        with Redis.from_url(server.url) as redis:
            (name,) = redis.keys("*")
            for value in (b"", b"foreign", b"mlpc1" + b"\0" * 40, redis.get(name)[:-1]):
                redis.set(name, value)
                assert await ask(cache, 1) == (1, "miss")
                await stored(cache, 1)
            redis.delete(name)
            redis.lpush(name, "a list")
            assert await ask(cache, 1) == (1, "miss")

    counted = run(server.url, work, timeout=5)
    assert counted["mlpatterns_cache_damaged_total"] == 4
    assert counted["mlpatterns_cache_store_errors_total"] == 1
