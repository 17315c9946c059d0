"""Batch runs that are killed at random moments, again and again: what they leave is what an unbroken run leaves."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from mlpatterns.stores import open_store
from mlpatterns.stores.batch import BatchItems, BatchSource, cells
from services import database

SCRIPT = Path(__file__).with_name("batch_killed.py")
KILLS = 2 * int(os.environ.get("MLPATTERNS_CHAOS", "1"))  # of each run: 20 in `make chaos`
ROWS, SECONDS = 6000, 0.4  # an unbroken run calls the model a hundred times, 4 ms each
ANSWERED, FAILED = ROWS - ROWS // 100, ROWS // 100

pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,  # each process takes half a second to start
]


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows, of which every hundredth is wrong."""
    file = tmp_path_factory.mktemp("given") / "in.csv"
    lines = [f"{key},{key * 0.5},{'x' if key % 100 == 0 else key % 7}" for key in range(1, ROWS + 1)]
    file.write_text("\n".join(["id,a,b", *lines]) + "\n")
    return file


def run(source: str, sink: str, seconds: float, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), source, sink, str(seconds), *more]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def whole(source: str, sink: str, *more: str) -> None:
    done = run(source, sink, 0, *more)
    assert done.stdout == f"{ANSWERED} {FAILED}\n", done.stderr


def broken(source: str, sink: str, *more: str) -> None:
    """A run that is killed again and again, and then not."""
    killed = 0
    for _ in range(KILLS):
        done = run(source, sink, random.uniform(0.001, SECONDS / KILLS), *more)
        assert done.returncode in (0, -signal.SIGKILL), done.stderr
        killed += done.returncode != 0
    last = run(source, sink, 0, *more)
    assert last.returncode == 0, last.stderr
    assert last.stdout == f"{ANSWERED} {FAILED}\n", last.stderr
    assert killed == KILLS


def rows(url: str, columns: list[str]) -> list[tuple[Any, ...]]:
    async def read() -> list[tuple[Any, ...]]:
        source: Any = await open_store(BatchSource, url)
        try:
            found, after = [], None
            while (page := await source.read(columns, after, 1000, ())) is not None:
                found += list(zip(page.keys, *map(cells, page.columns.values()), strict=True))
                after = page.after
            return found
        finally:
            await source.close()

    return asyncio.run(read())


def test_a_csv_file_has_the_same_bytes(given: Path, tmp_path: Path) -> None:
    one, other = tmp_path / "one.csv", tmp_path / "other.csv"
    whole(str(given), str(one))
    broken(str(given), str(other))
    assert other.read_bytes() == one.read_bytes()
    assert (tmp_path / "other.errors.csv").read_bytes() == (tmp_path / "one.errors.csv").read_bytes()
    assert not list(tmp_path.glob("*.part"))


def test_parquet_files_have_the_same_rows(given: Path, tmp_path: Path) -> None:
    one, other = tmp_path / "one.parquet", tmp_path / "other.parquet"
    whole(str(given), str(one))
    broken(str(given), str(other))
    found = rows(f"parquet://{other}", ["probabilities"])
    assert len(found) == ANSWERED
    assert found == rows(f"parquet://{one}", ["probabilities"])
    assert {file.name: file.read_bytes() for file in other.glob("*.parquet")} == {
        file.name: file.read_bytes() for file in one.glob("*.parquet")
    }
    assert (other / "_errors.csv").read_bytes() == (one / "_errors.csv").read_bytes()


@pytest.fixture(params=["sqlite", "postgresql", "mysql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with database(request.param, tmp_path) as url:
        yield f"{url}{'&' if '?' in url else '?'}table="


def test_a_table_has_the_same_rows(given: Path, place: str) -> None:
    whole(str(given), f"{place}one")
    broken(str(given), f"{place}other")
    found = rows(f"{place}other", ["probabilities"])
    assert len(found) == ANSWERED
    assert found == rows(f"{place}one", ["probabilities"])
    told = [rows(f"{place}{name}_errors", ["code", "error"]) for name in ("one", "other")]
    assert len(told[0]) == FAILED
    assert told[1] == told[0]


def test_in_place_each_row_is_written_once(tmp_path: Path) -> None:
    file = tmp_path / "items.db"
    place = f"sqlite:///{file}?table=items"

    async def fill() -> None:
        items: Any = await open_store(BatchItems, place)
        await items.fill([[key * 0.5, "x" if key % 100 == 0 else key % 7] for key in range(1, ROWS + 1)])
        await items.close()

    asyncio.run(fill())
    connection = apsw.Connection(str(file))
    connection.execute(
        "CREATE TABLE writes (id INTEGER);"
        "CREATE TRIGGER wrote AFTER UPDATE ON items BEGIN INSERT INTO writes VALUES (new.id); END"
    )
    connection.close()
    broken(place, f"{place}&into=prediction", "prediction")
    connection = apsw.Connection(str(file))
    writes = connection.execute("SELECT id, count(*) FROM writes GROUP BY id ORDER BY id").fetchall()
    connection.close()
    assert writes == [(key, 1) for key in range(1, ROWS + 1) if key % 100]
