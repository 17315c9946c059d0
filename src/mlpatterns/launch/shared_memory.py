"""Memory that processes share by a file descriptor, without a file in any folder."""

from __future__ import annotations

import fcntl
import os
import sys
import tempfile

__all__ = ["shared_memory"]

BLOCK = 1 << 20  # bytes written at once


def shared_memory(size: int) -> int:
    """The descriptor of `size` bytes of zeros, for `mmap`. Child processes get it by `pass_fds`.

    If the disk is full, a write to a mapped file kills the process with SIGBUS. So Linux uses anonymous memory
    (memfd_create), which no other program can shorten or remove. Other systems use a temporary file without a name,
    all of whose bytes are written first.

    Raises:
        OSError: the system has no such memory, and the disk has no space for the file.
    """
    if sys.platform == "linux":
        try:
            return _sealed_memory(size)
        except OSError:  # the kernel or a sandbox does not allow it
            pass
    return _written_file(size)


def _sealed_memory(size: int) -> int:
    file = os.memfd_create("mlpatterns", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(file, size)
        fcntl.fcntl(file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
    except OSError:
        os.close(file)
        raise
    return file


def _written_file(size: int) -> int:
    with tempfile.TemporaryFile(buffering=0) as file:
        for start in range(0, size, BLOCK):
            file.write(bytes(min(BLOCK, size - start)))
        if os.fstat(file.fileno()).st_size != size:  # the disk had space for a part of the last write
            raise OSError(f"there is no room for {size} bytes in {tempfile.gettempdir()}")
        os.fsync(file.fileno())  # some file systems allocate space only now
        return os.dup(file.fileno())
