"""Runs a server process under load, and watches how many requests are in it."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from mlpatterns.load.attack import attack
from mlpatterns.load.report import Report
from mlpatterns.load.target import Target
from mlpatterns.server_process import process

if TYPE_CHECKING:
    import httpx

__all__ = ["LoadedServer", "loaded"]

LOOK_EVERY = 0.1  # seconds between checks
INSIDE = re.compile(r'^mlpatterns_limit_(?:in_flight|queued)\{piece="server:[^"]*"\} (\S+)$', re.MULTILINE)


class LoadedServer(Struct, frozen=True):
    """The report of a load, and the largest number of requests that were in the server at once."""

    report: Report
    most: int


async def loaded(
    target: str | Path, body: bytes, *, rate: float, seconds: float, path: str = "/predict"
) -> LoadedServer:
    """Runs `mlpatterns run TARGET` in another process and sends POSTs of `body` at a constant rate.

    Args:
        target: a pattern's name, a Python file or an ONNX file.
        body: the JSON body of each POST.
        rate: requests per second.
        seconds: the duration of the load.
        path: the path of the requests.

    Raises:
        UserError: as in `process` and `attack`.
    """
    async with process(target) as server:
        asked = Target(f"{server.url}{path}", "POST", body=body)
        load, most = asyncio.create_task(attack(asked, rate=rate, seconds=seconds)), 0
        try:
            while not load.done():
                most = max(most, await _inside(server.http))
                await asyncio.wait([load], timeout=LOOK_EVERY)
        finally:
            load.cancel()
        return LoadedServer(load.result(), most)


async def _inside(client: httpx.AsyncClient) -> int:
    """The number of requests in the server, by its own count."""
    return sum(int(float(count)) for count in INSIDE.findall((await client.get("/metrics")).text))
