"""Where ONNX Runtime's memory for a run comes from, and when the system gets it back."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from typing import Any, Literal

__all__ = ["Arena", "without_arena"]

Arena = Literal["keep", "off"]

M_MMAP_THRESHOLD = -3  # of glibc's malloc.h
LARGE_BYTES = 2**20  # a block of this size or more goes back to the system as soon as it is freed


def without_arena(options: Any) -> None:
    """Makes a session take the memory of each run from the C library, and give it back after the run.

    glibc would keep what is given back: each large block that is freed raises the size from which it asks the system
    anew, to 32 MiB. That grew larger than the arena was, so the size is fixed here, for the whole process.

    Args:
        options: ONNX Runtime's SessionOptions.
    """
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False  # a plan for each size of a batch, which is kept and grows the process too
    if "MALLOC_MMAP_THRESHOLD_" not in os.environ:
        with suppress(OSError, AttributeError):  # another C library has no such thing
            ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)
