"""Imported by each Python that starts with this folder in PYTHONPATH: every few seconds it writes how many threads and
unfinished asyncio tasks its process has to `$SOAK_WATCH/PID`."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from pathlib import Path

EVERY = 5.0  # seconds


def _watch(file: Path) -> None:
    while True:
        time.sleep(EVERY)
        # A look at all objects is the one way to another thread's tasks: `asyncio.all_tasks` wants its loop.
        tasks = sum(isinstance(found, asyncio.Task) and not found.done() for found in gc.get_objects())
        file.write_text(f"{threading.active_count()} {tasks}")


if folder := os.environ.get("SOAK_WATCH"):
    threading.Thread(target=_watch, args=(Path(folder) / str(os.getpid()),), daemon=True).start()
