"""Measures the memory of a process that predicts batches of all sizes: `arena_child MODEL ARENA PREDICTIONS AT_ONCE`.

It prints JSON: the resident memory before, at most and after, in megabytes; the CPU time of a prediction, and the time
of a single row, in seconds.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
import psutil

from mlpatterns import OnnxModel, running
from mlpatterns.allocator import bound_arenas
from mlpatterns.testing import request

__all__ = ["main"]

MOST_ROWS, ROUNDS, CALLS = 512, 9, 200


def main() -> None:
    bound_arenas()  # as a worker does
    path, arena, count, at_once = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    print(json.dumps(asyncio.run(_found(Path(path), arena, count, at_once))))


async def _found(path: Path, arena: str, count: int, at_once: int) -> dict[str, float]:
    async with running(model := OnnxModel(f"file:{path}", arena=arena, threads=1)):  # type: ignore[arg-type]
        width = model.metadata.inputs[0].shape[1]
        rows = np.random.default_rng(1).random((MOST_ROWS, width), dtype=np.float32)
        name, chance, sizes = model.metadata.inputs[0].name, random.Random(1), [_megabytes()]

        async def ask() -> None:
            for _ in range(count // at_once):
                await model.predict(request({name: rows[: chance.randint(1, MOST_ROWS)]}))
                sizes.append(_megabytes())

        began = process_time()
        await asyncio.gather(*[ask() for _ in range(at_once)])
        cpu = (process_time() - began) / count
        one = [await _seconds(model, {name: rows[:1]}) for _ in range(ROUNDS)]
    return {"before": sizes[0], "most": max(sizes), "after": sizes[-1], "cpu": cpu, "one": min(one)}


async def _seconds(model: OnnxModel, inputs: dict[str, np.ndarray]) -> float:
    began = perf_counter()
    for _ in range(CALLS):
        await model.predict(request(inputs))
    return (perf_counter() - began) / CALLS


def _megabytes() -> float:
    return float(psutil.Process().memory_info().rss) / 1e6


if __name__ == "__main__":
    main()
