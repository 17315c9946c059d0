"""A batch run that kills itself after so many seconds: `batch_killed.py IN OUT SECONDS [in-place]`; 0 is never."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from threading import Timer
from typing import Any

from mlpatterns.predictor import InferenceRequest, Runtime
from mlpatterns.programs.batch_plan import BatchPlan
from mlpatterns.programs.batch_run import run_batch
from mlpatterns.runtime import running
from mlpatterns.settings import Settings
from mlpatterns.stores.batch import BatchSink, BatchSource
from mlpatterns.stores.batch.files import batch_url
from mlpatterns.stores.batch.parquet_parts import ParquetSink
from mlpatterns.stores.batch.threaded import ThreadedSink
from mlpatterns.testing import CountingModel

ThreadedSink.page_rows = ParquetSink.page_rows = 400  # so that there are many pages


class Slow(CountingModel):
    """The sum of each row, after a while; it refuses rows that begin with 7."""

    async def work(self, runtime: Runtime, request: InferenceRequest) -> None:
        await asyncio.sleep(0.004)


async def main(source: str, sink: str, seconds: float, into: str | None) -> None:
    model = Slow(fields=("a", "b"))
    async with running(model, settings=Settings(control="memory://")) as runtime:
        rows: Any = await runtime.store(BatchSource, batch_url(source))
        results: Any = await runtime.store(BatchSink, batch_url(sink))
        if seconds:
            Timer(seconds, os.kill, (os.getpid(), signal.SIGKILL)).start()
        plan = BatchPlan(into=into, batch_rows=64)
        run = await run_batch(model, rows, results, plan, runtime.clock, lambda progress: None)
        sys.stdout.write(f"{run.rows} {run.failed}\n" if run else "nothing\n")
        sys.stdout.flush()
    os._exit(0)  # not after the timer


asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3]), sys.argv[4] if len(sys.argv) > 4 else None))
