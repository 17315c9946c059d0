"""Describes the machine on which the numbers were measured."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from msgspec import Struct

from mlpatterns.settings import cpus

__all__ = ["LIBRARIES", "Machine", "this_machine"]

LIBRARIES = ("mlpatterns", "onnxruntime", "numpy", "msgspec", "uvicorn", "uvloop", "httptools", "starlette", "fastapi",
             "pydantic")  # fmt: skip


class Machine(Struct, frozen=True):
    """Hardware, system and versions; `load` is the average of the last minute when the measurement began."""

    date: str
    cpu: str
    cores: int
    memory_gb: float
    system: str
    python: str
    libraries: dict[str, str]
    load: float


def this_machine() -> Machine:
    """As it is now."""
    return Machine(
        datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        _cpu(),
        cpus(),
        round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        f"{platform.system()} {platform.release()}",
        platform.python_version(),
        {name: version(name) for name in LIBRARIES},
        round(os.getloadavg()[0], 2),
    )


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()
