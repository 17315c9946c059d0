"""What a store that is down at the start stops, and what it does not: the rows of the table in docs/operations.md."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from mlpatterns import JobQueue, Monitor, PredictionCache, PredictionLog, Predictor
from mlpatterns.settings import Settings
from mlpatterns.testing import CountingModel, client

ROW = {"data": [[1.0]]}
PIECES: dict[str, Callable[[], Predictor]] = {
    "cache": lambda: PredictionCache(CountingModel()),
    "jobs": lambda: JobQueue(CountingModel()),
    "log": lambda: PredictionLog(CountingModel()),
    "monitor": lambda: Monitor(PredictionLog(CountingModel())),
}


@pytest.mark.parametrize(
    ("kind", "status", "said"),
    [
        ("cache", 200, ""),
        ("jobs", 503, "its store does not answer"),
        ("log", 200, "accepts no records now"),
        ("monitor", 200, "fails and is started anew"),
    ],
)
def test_a_store_that_is_down_at_start(tmp_path: Path, kind: str, status: int, said: str) -> None:
    (tmp_path / f"{kind}.db").mkdir()  # where SQLite's file should be
    settings = Settings(home=tmp_path, cache=f"sqlite:///{tmp_path / 'cache.db'}")

    async def main() -> None:
        async with client(PIECES[kind](), settings=settings) as http:
            answers = [(await http.post("/predict", json=ROW)).status_code for _ in range(3)]
            assert answers == [status] * 3
            while said not in (health := await http.get("/health/ready")).text:
                await asyncio.sleep(0.01)
            assert health.status_code == status

    asyncio.run(asyncio.wait_for(main(), 30))
