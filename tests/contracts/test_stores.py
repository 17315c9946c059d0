"""Runs the contract of each kind of store on its backends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contracts.control_stores import ControlStoreContract
from contracts.job_stores import JobStoreContract
from contracts.logs import LogSinkContract, LogStoreContract
from contracts.monitors import MonitorStoreContract
from contracts.objects import ObjectStoreContract
from contracts.stores import CacheStoreContract
from mlpatterns.stores.log import Record
from mlpatterns.stores.log_codec import decode_record
from services import database, redis_prefix


class TestMemoryControl(ControlStoreContract):
    shared = False

    @pytest.fixture
    def url(self) -> str:
        return "memory://"


class TestSqliteControl(ControlStoreContract):
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path / 'folder' / 'control.db'}"


class TestRedisControl(ControlStoreContract):
    @pytest.fixture
    def url(self) -> Iterator[str]:
        with redis_prefix() as url:
            yield url


class TestPostgresControl(ControlStoreContract):
    @pytest.fixture
    def url(self, tmp_path: Path) -> Iterator[str]:
        with database("postgresql", tmp_path) as url:
            yield url


class TestMemoryCache(CacheStoreContract):
    shared = False

    @pytest.fixture
    def url(self) -> str:
        return "memory://"


class TestSqliteCache(CacheStoreContract):
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path / 'folder' / 'cache.db'}"


class TestRedisCache(CacheStoreContract):
    bounds = ()  # they are Redis's own

    @pytest.fixture
    def url(self) -> Iterator[str]:
        with redis_prefix() as url:
            yield url


class TestMemoryLog(LogStoreContract):
    shared = False

    @pytest.fixture
    def url(self) -> str:
        return "memory://"


class TestSqliteLog(LogStoreContract):
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path / 'folder' / 'log.db'}"


class TestJsonLines(LogSinkContract):
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        self.path = tmp_path / "a folder" / "log.jsonl"
        return self.path.as_uri()

    async def written(self, sink: Any) -> list[Record]:
        return [decode_record(line) for line in self.path.read_bytes().splitlines()] if self.path.exists() else []


class TestStdoutLog(LogSinkContract):
    @pytest.fixture
    def url(self, capfdbinary: pytest.CaptureFixture[bytes]) -> str:
        self.captured, self.output = capfdbinary, b""
        return "stdout://"

    async def written(self, sink: Any) -> list[Record]:
        self.output += self.captured.readouterr().out
        return [decode_record(line) for line in self.output.splitlines()]


class TestSqliteJobs(JobStoreContract):
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path / 'folder' / 'jobs.db'}"


class TestSqliteMonitor(MonitorStoreContract):
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path / 'folder' / 'monitor.db'}"


class TestFileObjects(ObjectStoreContract):
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return (tmp_path / "a folder").as_uri()


class TestS3Objects(ObjectStoreContract):
    @pytest.fixture
    def url(self, s3_bucket: str) -> str:
        return f"{s3_bucket}/a/prefix"
