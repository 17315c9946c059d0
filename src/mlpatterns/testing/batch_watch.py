"""Follows a BatchJob over HTTP: waits for a state of its run, and reads its rows."""

from __future__ import annotations

import asyncio
import time
from typing import Any

__all__ = ["batch_items", "batch_run"]

LOOK = 0.01  # seconds between checks


async def batch_run(http: Any, *, status: str = "finished", after: str = "", patience: float = 60.0) -> dict[str, Any]:
    """Waits until the last run has rows and has `status` or is finished, and returns it. When `patience` is over, it
    returns the last run as it is, or `{}` if there is none.

    Args:
        http: an httpx.AsyncClient for the server.
        after: the id of a run; the function waits for another, later run.
        patience: the longest time to wait, in seconds.
        status: the status to wait for.
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
    """Waits until the table exists, and returns the rows of `/data/WHICH`.

    Args:
        http: an httpx.AsyncClient for the server.
        which: ``all``, ``predicted`` or ``unpredicted``.
        patience: the longest time to wait for the table, in seconds.
    """
    until = time.monotonic() + patience
    while True:
        answer = await http.get(f"/data/{which}", timeout=patience)
        if answer.status_code != 503 or time.monotonic() >= until:
            found: list[dict[str, Any]] = answer.raise_for_status().json()
            return found
        await asyncio.sleep(LOOK)
