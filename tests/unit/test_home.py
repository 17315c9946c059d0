"""A home of any name: what is kept in it lies inside it, and nothing beside it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlpatterns.interfaces import ControlStore
from mlpatterns.model_db.artifacts import publish
from mlpatterns.model_db.upgrade import upgrade
from mlpatterns.registry.urls import sqlite_file
from mlpatterns.settings import Settings, load_settings, sqlite_url
from mlpatterns.stores import open_store
from mlpatterns.stores.batch import BatchItems
from mlpatterns.stores.batch.table import table_place
from mlpatterns.stores.cache import CacheStore
from mlpatterns.stores.jobs import JobStore
from mlpatterns.stores.log import LogSink, Record
from mlpatterns.stores.monitor import MonitorStore
from mlpatterns.stores.objects_file import folder_of
from mlpatterns.stores.sqlite_file import sqlite_path
from mlpatterns.stores.urls import split_url
from mlpatterns.user_errors import SettingsError

NAMES = (
    "what?",
    "100%",
    "a%41b",
    "c#1",
    "two words",
    "übér",
    "it's",
    '"so"',
    "a&b=c;d",
    "[x]*",
    "back\\slash",
    "~",
    "$HOME",
    "日本",
)
DATABASES = ("registry", "control", "jobs", "monitor", "items", "cache", "log")
RECORD = Record("p1", 0.0, "log", "done", 0.1)
S = TypeVar("S")

names = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=40)
folders = names.filter(lambda name: name not in (".", ".."))


@pytest.fixture(params=NAMES)
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A home that is not there yet; afterwards it is the only entry of the folder that it lies in."""
    parent = tmp_path / "parent"
    parent.mkdir()
    yield parent / request.param
    assert [path.name for path in parent.iterdir()] == [request.param]
    assert [path.name for path in tmp_path.iterdir()] == ["parent"]


@given(folders)
def test_every_url_of_a_home_names_a_file_inside_it(name: str) -> None:
    home = Path("/somewhere") / name
    settings = Settings(home=home)
    for url in (settings.control_url, settings.jobs_url, settings.log_url, settings.monitor_url):
        assert sqlite_path(split_url(url)[0], "a store").parent == home
    assert sqlite_file(settings.registry_url) == home / "registry.db"
    assert sqlite_path(table_place(settings.batch_url).url, "a table") == home / "items.db"
    assert folder_of(settings.artifacts_url) == home / "artifacts"


def test_every_store_of_a_home_lies_inside_it(home: Path) -> None:
    settings = Settings(home=home)
    upgrade(settings.registry_url).dispose()
    publish(settings.artifacts_url, "shapes", "one", {"a": b"b"}, home=home)

    asyncio.run(_filled(settings))
    found = {path.name for path in home.iterdir() if not path.name.endswith(("-wal", "-shm", ".lock"))}
    assert found == {"artifacts", "log.jsonl", *(f"{name}.db" for name in DATABASES)}


async def _filled(settings: Settings) -> None:
    """Puts something into every store of a home."""
    async with AsyncExitStack() as stack:

        async def opened(need: type[S], url: str) -> S:
            store = await open_store(need, url)
            stack.push_async_callback(store.close)  # type: ignore[attr-defined]
            return store

        control = await opened(ControlStore, settings.control_url)  # type: ignore[type-abstract]
        await control.put("key", 1, expected=None, by="a test")
        jobs = await opened(JobStore, settings.jobs_url)  # type: ignore[type-abstract]
        await jobs.describe("queue", b"{}")
        monitor = await opened(MonitorStore, settings.monitor_url)  # type: ignore[type-abstract]
        await monitor.claim("path", "holder")
        items = await opened(BatchItems, settings.batch_url)  # type: ignore[type-abstract]
        await items.fill([[1.0]])
        cache = await opened(CacheStore, sqlite_url(settings.home / "cache.db"))  # type: ignore[type-abstract]
        await cache.get("key")
        for url in (settings.log_url, (settings.home / "log.jsonl").as_uri()):
            log = await opened(LogSink, url)  # type: ignore[type-abstract]
            await log.write([RECORD])


def test_a_hash_is_part_of_the_name_of_a_log_file(tmp_path: Path) -> None:
    """As in the URLs of SQLite: nothing is cut off."""
    asyncio.run(_written(f"file://{tmp_path}/a#b.jsonl"))
    assert [path.name for path in tmp_path.iterdir()] == ["a#b.jsonl"]


async def _written(url: str) -> None:
    log = await open_store(LogSink, url)  # type: ignore[type-abstract]
    await log.write([RECORD])
    await log.close()


@pytest.mark.parametrize("source", ["environment", "flag"])
def test_a_home_that_is_not_utf_8_is_refused(source: str, tmp_path: Path) -> None:
    """Its URL could not be written, and what is in it would lie elsewhere."""
    latin = str(tmp_path / "\udcfc")
    given = {"environ": {"MLPATTERNS_HOME": latin}} if source == "environment" else {"flags": {"home": latin}}
    with pytest.raises(SettingsError, match=re.escape(f"home ({source}): its value is not UTF-8")):
        load_settings(**{"environ": {}, **given})  # type: ignore[arg-type]
