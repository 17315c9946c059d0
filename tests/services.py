"""Real services for tests. Each test gets a separate schema, database or prefix, which is dropped after the test.

If a service does not answer, its tests are skipped. If CI is set, they fail, because CI must provide the service.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from mlpatterns.model_db.database import engine
from mlpatterns.redaction import redact

__all__ = ["DATABASES", "database", "redis_prefix", "unreachable"]

DATABASES = ("sqlite", "postgresql", "mysql")
URLS = {
    "postgresql": ("MLPATTERNS_TEST_POSTGRES_URL", "postgresql://postgres@127.0.0.1:5432/test"),
    "mysql": ("MLPATTERNS_TEST_MYSQL_URL", "mysql://root@127.0.0.1:3306/test"),
    "redis": ("MLPATTERNS_TEST_REDIS_URL", "redis://127.0.0.1:6379/0"),
}


def unreachable(what: str, why: object) -> None:
    """Skips the test, or fails it if CI must provide the service."""
    message = f"{what} is not reachable: {why}"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


@contextmanager
def database(kind: str, folder: Path) -> Iterator[str]:
    """The URL of an empty database of the given kind."""
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'registry.db'}"
        return
    variable, default = URLS[kind]
    url = os.environ.get(variable, default)
    name = f"mlpatterns_{uuid4().hex[:12]}"
    made = engine(url).execution_options(isolation_level="AUTOCOMMIT")
    what = "SCHEMA" if kind == "postgresql" else "DATABASE"
    try:
        _execute(made, f"CREATE {what} {name}", url)
        try:
            yield _inside(url, kind, name)
        finally:
            _execute(made, f"DROP {what} {name}{' CASCADE' if kind == 'postgresql' else ''}", url)
    finally:
        made.dispose()


@contextmanager
def redis_prefix() -> Iterator[str]:
    """The URL of a Redis with a unique prefix; the keys with this prefix are deleted afterwards."""
    from redis import Redis, RedisError

    variable, default = URLS["redis"]
    url = os.environ.get(variable, default)
    prefix = f"mlpatterns-test-{uuid4().hex[:12]}:"
    with Redis.from_url(url, socket_connect_timeout=2, socket_timeout=5) as redis:
        try:
            redis.ping()
        except (RedisError, OSError) as error:
            unreachable(redact(url), error)
        try:
            yield f"{url}?prefix={prefix}"
        finally:
            for key in redis.scan_iter(match=f"{prefix}*", count=1000):
                redis.delete(key)


def _execute(made: Engine, statement: str, url: str) -> None:
    try:
        with made.connect() as connection:
            connection.execute(text(statement))
    except DBAPIError as error:
        unreachable(redact(url), error.orig)


def _inside(url: str, kind: str, name: str) -> str:
    head, _, query = url.partition("?")
    if kind == "postgresql":
        return f"{head}?{query}{'&' if query else ''}options=-csearch_path%3D{name}"
    return f"{head.rpartition('/')[0]}/{name}{'?' if query else ''}{query}"
