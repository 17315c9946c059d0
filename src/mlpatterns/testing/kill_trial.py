"""A server that is killed under load: what it had answered by then, for tests and demonstrations."""

from __future__ import annotations

import asyncio
import signal
import time
from typing import Any

from mlpatterns.server_process import ServerProcess

__all__ = ["killed_under_load"]

PAUSE = 0.01  # seconds between an answer and the next question of one caller


async def killed_under_load(
    server: ServerProcess, path: str, body: Any, *, seconds: float, callers: int = 4
) -> dict[str, float]:
    """Asks a server from several callers at once, and ends it by SIGKILL.

    Args:
        server: that is killed.
        path, body: of the POST, which has JSON.
        seconds: until the kill.
        callers: how many ask at once.

    Returns:
        By the prediction id of each answer that came, how many seconds before the kill it came.
    """
    answered: dict[str, float] = {}

    async def call() -> None:
        while True:
            answer = await server.http.post(path, json=body)
            answered[answer.headers["x-mlp-prediction-id"]] = time.monotonic()
            await asyncio.sleep(PAUSE)

    calling = [asyncio.create_task(call()) for _ in range(callers)]
    await asyncio.wait(calling, timeout=seconds)  # less where all callers fail
    end = time.monotonic()
    await server.stop(signal.SIGKILL)
    for task in calling:
        task.cancel()
    await asyncio.gather(*calling, return_exceptions=True)
    return {which: end - at for which, at in answered.items()}
