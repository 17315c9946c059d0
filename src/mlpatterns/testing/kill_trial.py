"""Kills a server under load and reports its answers before the kill, for tests and demonstrations."""

from __future__ import annotations

import asyncio
import signal
import time
from typing import Any

from mlpatterns.server_process import ServerProcess

__all__ = ["killed_under_load"]

PAUSE = 0.01  # seconds between an answer and the next request of one caller


async def killed_under_load(
    server: ServerProcess, path: str, body: Any, *, seconds: float, callers: int = 4
) -> dict[str, float]:
    """Sends requests to a server from several callers at once, and ends it with SIGKILL.

    Args:
        server: the server to kill.
        path, body: of the POST requests; the body is sent as JSON.
        seconds: the time until the kill.
        callers: the number of concurrent callers.

    Returns:
        For the prediction id of each answer, how many seconds before the kill the answer came.
    """
    answered: dict[str, float] = {}

    async def call() -> None:
        while True:
            answer = await server.http.post(path, json=body)
            answered[answer.headers["x-mlp-prediction-id"]] = time.monotonic()
            await asyncio.sleep(PAUSE)

    calling = [asyncio.create_task(call()) for _ in range(callers)]
    await asyncio.wait(calling, timeout=seconds)  # shorter if all callers fail
    end = time.monotonic()
    await server.stop(signal.SIGKILL)
    for task in calling:
        task.cancel()
    await asyncio.gather(*calling, return_exceptions=True)
    return {which: end - at for which, at in answered.items()}
