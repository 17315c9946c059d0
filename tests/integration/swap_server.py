"""A server whose HotSwap follows the releases of a registry, in real worker processes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic

from mlpatterns.testing import ServerProcess, process
from releases import NAME, Releases

__all__ = ["DONE", "PATIENCE", "TOKEN", "TROUBLE", "WORKERS", "change", "metric", "swapping", "until"]

APP = Path(__file__).parent / "app_that_swaps.py"
WORKERS, PATIENCE, TOKEN = 2, 60.0, "secret"
DONE = rf'mlpatterns_swaps_total{{piece="[^"]*{NAME}",result="done"}}'
TROUBLE = rf'mlpatterns_swap_trouble{{piece="[^"]*{NAME}"}}'


@asynccontextmanager
async def swapping(
    releases: Releases, workers: int = WORKERS, app: Path = APP, **environ: str
) -> AsyncIterator[ServerProcess]:
    """A server of the app that swaps; `environ` beside what `releases` say."""
    given = {"MLPATTERNS_HOME": str(releases.home), "MLPATTERNS_ADMIN_TOKEN": TOKEN}
    given["MLPATTERNS_REGISTRY"] = releases.settings.registry_url
    given["MLPATTERNS_ARTIFACTS"] = releases.settings.artifacts_url
    async with process(app, "--workers", str(workers), environ=given | environ, cwd=releases.home) as server:
        await until(server, DONE, workers)  # one that is ready answers for all
        yield server


async def metric(server: ServerProcess, name: str) -> int:
    """Summed over the workers."""
    found = re.findall(rf"^{name} (\S+)$", (await server.http.get("/metrics")).text, re.M)
    return sum(int(float(value)) for value in found)


async def until(server: ServerProcess, name: str, least: int) -> int:
    """Waits until a metric is `least` or more."""
    end = monotonic() + PATIENCE
    while (value := await metric(server, name)) < least:
        assert monotonic() < end, f"{name} is {value}, not {least}: {server.output}"
        await asyncio.sleep(0.02)
    return value


async def change(server: ServerProcess, releases: Releases, number: int) -> None:
    """Moves the alias, and waits until all workers have swapped."""
    done = await metric(server, DONE)
    releases.point(number)
    await until(server, DONE, done + WORKERS)
