"""State outside a process, chosen by URL: one interface a need, one file a backend."""

from __future__ import annotations

import importlib
from typing import Any, TypeVar

from mlpatterns.errors import SettingsError
from mlpatterns.predictor import ControlStore
from mlpatterns.stores.cache import CacheStore
from mlpatterns.stores.registry import Registry

__all__ = ["open_store"]

S = TypeVar("S")

DATABASES = ("sqlite", "postgresql", "mysql")

# (need, URL scheme) -> module:class. A backend's module is imported when its URL is first used.
BACKENDS: dict[tuple[type, str], str] = {
    (CacheStore, "memory"): "mlpatterns.stores.cache_memory:MemoryCache",
    (CacheStore, "sqlite"): "mlpatterns.stores.cache_sqlite:SqliteCache",
    (CacheStore, "redis"): "mlpatterns.stores.cache_redis:RedisCache",
    (CacheStore, "rediss"): "mlpatterns.stores.cache_redis:RedisCache",
    (ControlStore, "memory"): "mlpatterns.stores.control_memory:MemoryControl",
    (ControlStore, "sqlite"): "mlpatterns.stores.control_sqlite:SqliteControl",
    **{(Registry, scheme): "mlpatterns.registry.database:DatabaseRegistry" for scheme in DATABASES},
}


async def open_store(need: type[S], url: str) -> S:
    """Opens the store of kind `need` at `url`; it has an async `close()`.

    Raises:
        SettingsError: no backend of that kind has the URL's scheme.
    """
    scheme = url.partition(":")[0].partition("+")[0]
    try:
        module, _, name = BACKENDS[need, scheme].partition(":")
    except KeyError:
        known = ", ".join(f"{s}://" for kind, s in BACKENDS if kind is need) or "none yet"
        raise SettingsError(f"no {need.__name__} at {scheme}://; there is {known}") from None
    backend: Any = getattr(importlib.import_module(module), name)
    store: S = await backend.open(url)
    return store
