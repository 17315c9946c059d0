"""Sets where ONNX Runtime gets the memory for a run, and when it gives the memory back to the system."""

from __future__ import annotations

from typing import Any, Literal

from mlpatterns.allocator import fix_mmap_threshold

__all__ = ["Arena", "without_arena"]

Arena = Literal["keep", "off"]


def without_arena(options: Any) -> None:
    """Makes a session allocate the memory of each run from the C library and free it after the run.

    With glibc's own settings the process then grew larger than with the arena, so its threshold is fixed, for the whole
    process.

    Args:
        options: ONNX Runtime's SessionOptions.
    """
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False  # it keeps a memory plan for each batch size, which also grows the process
    fix_mmap_threshold()
