"""Sets where ONNX Runtime allocates the memory for a run, and when it returns the memory to the operating system."""

from __future__ import annotations

from typing import Any, Literal

from mlpatterns.allocator import fix_mmap_threshold

__all__ = ["Arena", "without_arena"]

Arena = Literal["keep", "off"]


def without_arena(options: Any) -> None:
    """Makes a session allocate the memory of each run from the C library and free it after the run.

    With glibc's default settings the process then grew larger than with the arena. So this function also fixes glibc's
    mmap threshold, which applies to the entire process.

    Args:
        options: ONNX Runtime's SessionOptions.
    """
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False  # ONNX Runtime keeps a memory plan for each batch size
    fix_mmap_threshold()
