"""How a client follows a BatchJob over HTTP: its run, once that is as far as the client waits for, and its rows."""

from __future__ import annotations

import asyncio
import time
from typing import Any

__all__ = ["batch_items", "batch_run"]

LOOK = 0.01  # seconds between two looks


async def batch_run(http: Any, *, status: str = "finished", after: str = "", patience: float = 60.0) -> dict[str, Any]:
    """The last run, when it has rows and is at `status` or beyond; or as it is when there is no more patience, `{}`
    where there is none.

    Args:
        http: asks the server: an httpx.AsyncClient.
        after: the id of a run: a later one is waited for.
        patience: seconds.
        status: that is waited for.
    """
    found: dict[str, Any] = {}
    until = time.monotonic() + patience
    while time.monotonic() < until:
        found = (await http.get("/batch")).json().get("run") or {}
        if found.get("rows") and found["run_id"] != after and found["status"] in ("finished", status):
            break
        await asyncio.sleep(LOOK)
    return found


async def batch_items(http: Any, which: str = "all", *, patience: float = 60.0) -> list[dict[str, Any]]:
    """The rows of `/data/WHICH`, once the table is made.

    Args:
        http: asks the server: an httpx.AsyncClient.
        which: ``all``, ``predicted`` or ``unpredicted``.
        patience: seconds to wait for the table.
    """
    until = time.monotonic() + patience
    while True:
        answer = await http.get(f"/data/{which}", timeout=patience)
        if answer.status_code != 503 or time.monotonic() >= until:
            found: list[dict[str, Any]] = answer.raise_for_status().json()
            return found
        await asyncio.sleep(LOOK)
