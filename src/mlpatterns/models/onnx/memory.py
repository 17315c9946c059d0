"""Sets where ONNX Runtime gets the memory for a run, and when it gives the memory back to the system."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from typing import Any, Literal

__all__ = ["Arena", "without_arena"]

Arena = Literal["keep", "off"]

M_MMAP_THRESHOLD = -3  # of glibc's malloc.h
LARGE_BYTES = 2**20  # a freed block of this size or more goes back to the system at once


def without_arena(options: Any) -> None:
    """Makes a session allocate the memory of each run from the C library and free it after the run.

    By default, glibc keeps freed blocks: each large block that is freed raises its mmap threshold, up to 32 MiB. The
    process then grew larger than with the arena. So this function fixes the threshold, for the whole process.

    Args:
        options: ONNX Runtime's SessionOptions.
    """
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False  # it keeps a memory plan for each batch size, which also grows the process
    if "MALLOC_MMAP_THRESHOLD_" not in os.environ:
        with suppress(OSError, AttributeError):  # other C libraries have no mallopt
            ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)
