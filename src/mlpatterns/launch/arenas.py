"""How much memory the C library keeps for threads."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress

__all__ = ["bound_arenas", "give_back"]

M_ARENA_MAX = -8  # of glibc's malloc.h


def bound_arenas() -> None:
    """glibc gives each thread an arena of its own, which keeps what a large body once needed: half as much memory again
    under bombs and images. Threads that take turns at the GIL need no more than two."""
    if "MALLOC_ARENA_MAX" not in os.environ:
        with suppress(OSError, AttributeError):  # another C library has no such thing
            ctypes.CDLL(None).mallopt(M_ARENA_MAX, 2)


def give_back() -> None:
    """Gives the system back what the C library keeps of memory that is free. It may take tens of milliseconds, in which
    Python goes on."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
