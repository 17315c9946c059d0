"""Limits how much freed memory glibc keeps. Other C libraries are not changed."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress

__all__ = ["bound_arenas", "fix_mmap_threshold", "give_back"]

M_MMAP_THRESHOLD, M_ARENA_MAX = -3, -8  # of glibc's malloc.h
LARGE_BYTES = 2**20  # a freed block of this size or more goes back to the system at once


def bound_arenas() -> None:
    """Limits glibc to two memory arenas. By default each thread has its own arena, which keeps the memory
    that a large request body once needed: half as much memory again under large images. Two arenas are enough for
    threads that share the GIL."""
    _set("MALLOC_ARENA_MAX", M_ARENA_MAX, 2)


def fix_mmap_threshold() -> None:
    """Makes glibc return large freed blocks at once. By default each large block that is freed raises the threshold,
    up to 32 MiB, and glibc keeps the blocks below it."""
    _set("MALLOC_MMAP_THRESHOLD_", M_MMAP_THRESHOLD, LARGE_BYTES)


def give_back() -> None:
    """Returns the free memory that the C library keeps to the system. The call may take tens of milliseconds, during
    which other Python threads run."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _set(variable: str, parameter: int, value: int) -> None:
    """Sets a parameter of malloc for the whole process, unless the environment sets it."""
    if variable not in os.environ:
        with suppress(OSError, AttributeError):  # other C libraries have no mallopt
            ctypes.CDLL(None).mallopt(parameter, value)
