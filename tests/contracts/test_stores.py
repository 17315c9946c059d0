"""The backends that are built, each under the contract of its need."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.control_stores import ControlStoreContract
from contracts.job_stores import JobStoreContract
from contracts.objects import ObjectStoreContract
from contracts.stores import CacheStoreContract
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


class TestSqliteJobs(JobStoreContract):
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path / 'folder' / 'jobs.db'}"


class TestFileObjects(ObjectStoreContract):
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return (tmp_path / "a folder").as_uri()


class TestS3Objects(ObjectStoreContract):
    @pytest.fixture
    def url(self, s3_bucket: str) -> str:
        return f"{s3_bucket}/a/prefix"
