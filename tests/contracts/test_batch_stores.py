"""Runs the contract of batch runs on each backend."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contracts.batch_stores import BatchItemsContract, BatchStoreContract
from mlpatterns.stores import open_store
from mlpatterns.stores.batch import BatchSink
from services import database


class TestCsv(BatchStoreContract):
    typed = False

    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"csv://{tmp_path}/new/results.csv"

    async def forget(self, url: str) -> None:
        Path(f"{url.removeprefix('csv://')}.run.json").unlink()


class TestParquet(BatchStoreContract):
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"parquet://{tmp_path}/new/results.parquet"

    async def forget(self, url: str) -> None:
        (Path(url.removeprefix("parquet://")) / "_run.json").unlink()


class Tables(BatchItemsContract):
    async def forget(self, url: str) -> None:
        sink: Any = await open_store(BatchSink, url)
        database = sink._blocking._database
        with database.transaction():
            database.execute("DELETE FROM mlpatterns_batch_runs", ())
        await sink.close()


class TestSqlite(Tables):
    @pytest.fixture
    def down(self, tmp_path: Path) -> str:
        (tmp_path / "no.db").write_text("this is not a database" * 100)
        return f"sqlite:///{tmp_path / 'no.db'}?table=results"

    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path / 'folder' / 'batch.db'}?table=results"


class TestPostgres(Tables):
    @pytest.fixture
    def down(self) -> str:
        return "postgresql://nobody@127.0.0.1:9/none?table=results"

    @pytest.fixture
    def url(self, tmp_path: Path) -> Iterator[str]:
        with database("postgresql", tmp_path) as url:
            yield f"{url}&table=results"


class TestMysql(Tables):
    @pytest.fixture
    def down(self) -> str:
        return "mysql://nobody@127.0.0.1:9/none?table=results"

    @pytest.fixture
    def url(self, tmp_path: Path) -> Iterator[str]:
        with database("mysql", tmp_path) as url:
            yield f"{url}?table=results"
