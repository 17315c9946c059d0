"""Reads all matching records of a log, page by page, for tests and demonstrations."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from typing import Any

from msgspec.structs import replace

from mlpatterns.settings import load_settings
from mlpatterns.stores import open_store
from mlpatterns.stores.log import LogQuery, LogStore, Record

__all__ = ["logged"]

LOOK_EVERY = 0.05


async def logged(
    url: str | None = None, *, awaited: Collection[str] = (), patience: float = 5.0, **asked: Any
) -> list[Record]:
    """The matching records of a log, in order.

    Args:
        url: the URL of the log; by default the setting `log`.
        awaited: ids of predictions to wait for, because a server may not have written them yet. After `patience`
            seconds it returns the records that exist.
        asked: the conditions: `since`, `path`, `purpose` and the other fields of a LogQuery.
        patience: the longest time to wait for `awaited`, in seconds.

    Raises:
        Unavailable: the log cannot be read.
    """
    store: LogStore = await open_store(LogStore, url or load_settings().settings.log_url)  # type: ignore[type-abstract]
    query, found, missing = LogQuery(**asked), list[Record](), set(awaited)
    until = time.monotonic() + patience
    try:
        while True:
            page = await store.read(query)
            found += page.records
            missing -= {record.prediction_id for record in page.records}
            if page.after > query.after:
                query = replace(query, after=page.after)
            elif missing and time.monotonic() < until:
                await asyncio.sleep(LOOK_EVERY)
            else:
                return found
    finally:
        await store.close()
