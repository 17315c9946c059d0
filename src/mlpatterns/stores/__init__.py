"""Opens stores of state. Each kind of store has one interface; a URL selects the backend that implements it."""

from __future__ import annotations

import importlib
from typing import Any, TypeVar

from mlpatterns.interfaces import ControlStore
from mlpatterns.stores.batch import BatchItems, BatchSink, BatchSource
from mlpatterns.stores.cache import CacheStore
from mlpatterns.stores.jobs import JobStore
from mlpatterns.stores.log import LogSink, LogStore
from mlpatterns.stores.monitor import MonitorStore
from mlpatterns.stores.objects import ObjectStore
from mlpatterns.stores.registry import Registry
from mlpatterns.user_errors import SettingsError

__all__ = ["offers", "open_objects", "open_store"]

S = TypeVar("S")

LOGS = {
    "memory": "mlpatterns.stores.log_memory:MemoryLog",
    "sqlite": "mlpatterns.stores.log_sqlite:SqliteLog",
}
REGISTRIES = ("sqlite", "postgresql", "mysql", "http", "https")

# (kind of store, URL scheme) -> module:class. A backend's module is imported at the first use of its URL scheme.
BACKENDS: dict[tuple[type, str], str] = {
    (CacheStore, "memory"): "mlpatterns.stores.cache_memory:MemoryCache",
    (CacheStore, "sqlite"): "mlpatterns.stores.cache_sqlite:SqliteCache",
    (CacheStore, "redis"): "mlpatterns.stores.cache_redis:RedisCache",
    (CacheStore, "rediss"): "mlpatterns.stores.cache_redis:RedisCache",
    (ControlStore, "memory"): "mlpatterns.stores.control_memory:MemoryControl",
    (ControlStore, "sqlite"): "mlpatterns.stores.control_sqlite:SqliteControl",
    (ControlStore, "redis"): "mlpatterns.stores.control_redis:RedisControl",
    (ControlStore, "rediss"): "mlpatterns.stores.control_redis:RedisControl",
    (ControlStore, "postgresql"): "mlpatterns.stores.control_postgres:PostgresControl",
    **{(LogStore, scheme): backend for scheme, backend in LOGS.items()},
    **{(LogSink, scheme): backend for scheme, backend in LOGS.items()},
    (LogSink, "file"): "mlpatterns.stores.log_jsonlines:JsonLines",
    (LogSink, "stdout"): "mlpatterns.stores.log_stdout:StdoutLog",
    (MonitorStore, "sqlite"): "mlpatterns.stores.monitor_sqlite:SqliteMonitor",
    (JobStore, "sqlite"): "mlpatterns.stores.jobs_sqlite:SqliteJobs",
    (ObjectStore, "file"): "mlpatterns.stores.objects_file:FileObjects",
    (ObjectStore, "s3"): "mlpatterns.stores.objects_s3:S3Objects",
    (BatchSource, "sqlite"): "mlpatterns.stores.batch.sqlite:SqliteBatchSource",
    (BatchSink, "sqlite"): "mlpatterns.stores.batch.sqlite:SqliteBatchSink",
    (BatchItems, "sqlite"): "mlpatterns.stores.batch.sqlite:SqliteBatchItems",
    (BatchSource, "postgresql"): "mlpatterns.stores.batch.postgres:PostgresBatchSource",
    (BatchSink, "postgresql"): "mlpatterns.stores.batch.postgres:PostgresBatchSink",
    (BatchItems, "postgresql"): "mlpatterns.stores.batch.postgres:PostgresBatchItems",
    (BatchSource, "mysql"): "mlpatterns.stores.batch.mysql:MysqlBatchSource",
    (BatchSink, "mysql"): "mlpatterns.stores.batch.mysql:MysqlBatchSink",
    (BatchItems, "mysql"): "mlpatterns.stores.batch.mysql:MysqlBatchItems",
    (BatchSource, "csv"): "mlpatterns.stores.batch.csv:CsvSource",
    (BatchSink, "csv"): "mlpatterns.stores.batch.csv_results:CsvSink",
    (BatchSource, "parquet"): "mlpatterns.stores.batch.parquet:ParquetSource",
    (BatchSink, "parquet"): "mlpatterns.stores.batch.parquet_parts:ParquetSink",
    **{(Registry, scheme): "mlpatterns.registry.threaded:ThreadedRegistry" for scheme in REGISTRIES},
}


def offers(need: type, url: str) -> bool:
    """Whether stores of kind `need` have a backend for the scheme of `url`."""
    return (need, _scheme(url)) in BACKENDS


async def open_store(need: type[S], url: str) -> S:
    """Opens the store of kind `need` at `url`. The store has an async `close()`.

    Raises:
        SettingsError: no backend of this kind supports the URL's scheme.
    """
    store: S = await _backend(need, url).open(url)
    return store


def open_objects(url: str) -> ObjectStore:
    """Opens the ObjectStore at `url`. Its calls block, unlike those of other stores, so it needs no event loop.

    Raises:
        SettingsError: no backend supports the URL's scheme, or the URL is malformed.
        MissingExtra: the backend's driver is not installed.
    """
    store: ObjectStore = _backend(ObjectStore, url).open(url)
    return store


def _backend(need: type, url: str) -> Any:
    scheme = _scheme(url)
    try:
        module, _, name = BACKENDS[need, scheme].partition(":")
    except KeyError:
        known = ", ".join(f"{s}://" for kind, s in BACKENDS if kind is need) or "none yet"
        raise SettingsError(f"there is no {need.__name__} for {scheme}://; use {known}") from None
    return getattr(importlib.import_module(module), name)


def _scheme(url: str) -> str:
    return url.partition(":")[0].partition("+")[0]
