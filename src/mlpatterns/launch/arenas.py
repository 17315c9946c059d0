"""Limits the memory that the C library keeps for each thread."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress

__all__ = ["bound_arenas", "give_back"]

M_ARENA_MAX = -8  # of glibc's malloc.h


def bound_arenas() -> None:
    """Limits glibc to two memory arenas. By default each thread has its own, which keeps the memory that a large body
    once needed: half as much again under large images. Two are enough for threads that share the GIL."""
    if "MALLOC_ARENA_MAX" not in os.environ:
        with suppress(OSError, AttributeError):  # other C libraries have no mallopt
            ctypes.CDLL(None).mallopt(M_ARENA_MAX, 2)


def give_back() -> None:
    """Gives the system back what the C library keeps of memory that is free. It may take tens of milliseconds, in which
    Python goes on."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
