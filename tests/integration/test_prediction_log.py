"""A log that several servers write to, when one is killed under load and another is told to stop."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from mlpatterns.stores.log_codec import decode_record
from mlpatterns.testing import process
from mlpatterns.testing.kill_trial import killed_under_load
from mlpatterns.testing.logged import logged

pytestmark = [pytest.mark.integration, pytest.mark.slow]  # servers are started, loaded and killed

KILLS = int(os.environ.get("MLPATTERNS_CHAOS", "1"))
APP = """
from mlpatterns import PredictionLog, serve
from mlpatterns.testing import CountingModel

app = serve(lambda: PredictionLog(CountingModel()))
"""
BODY = {"data": [[1.0, 2.0]]}


@pytest.mark.parametrize("kind", ["file", "sqlite"] if KILLS > 1 else ["file"])  # SQLite is killed in the demo too
def test_who_is_killed_loses_no_more_than_a_second_and_spoils_nothing_of_the_others(tmp_path: Path, kind: str) -> None:
    """The one that is told to stop loses nothing."""
    app = tmp_path / "logging.d" / "served.py"
    app.parent.mkdir()
    app.write_text(APP)
    file = tmp_path / "log"
    url = f"{file.as_uri()}?rotate_bytes=100KiB&keep=1000" if kind == "file" else f"sqlite:///{file}"

    async def main() -> None:
        environ = {"MLPATTERNS_LOG": url, "MLPATTERNS_HOME": str(tmp_path / "home")}
        own: set[str] = set()
        async with process(app, environ=environ) as stays:

            async def ask() -> None:
                while True:
                    answer = await stays.http.post("/predict", json=BODY)
                    own.add(answer.headers["x-mlp-prediction-id"])

            asking = asyncio.create_task(ask())
            answered: dict[str, float] = {}
            for _ in range(KILLS):
                async with process(app, environ=environ) as victim:
                    answered |= await killed_under_load(victim, "/predict", BODY, seconds=1.2)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        kept = await _kept(file, url)
        assert len(kept) == len(set(kept))
        assert own <= set(kept)
        lost = [age for which, age in answered.items() if which not in kept]
        assert max(lost, default=0.0) <= 1.0
        assert len(lost) < len(answered)

    asyncio.run(main())


async def _kept(file: Path, url: str) -> list[str]:
    if url.startswith("sqlite"):
        return [record.prediction_id for record in await logged(url)]
    files = [found for found in file.parent.iterdir() if found.name.startswith(file.name) and found.is_file()]
    assert len(files) > 1  # it was rotated
    return [decode_record(line).prediction_id for each in files for line in each.read_bytes().splitlines()]
