"""Writes files so that a kill or a crash leaves either the complete old file or the complete new one.

The bytes of a file are on the disk once the file is synced; its name is on the disk once the folder is synced
(see fsync(2)).
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

__all__ = ["sync_folder", "write_synced", "write_whole"]


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file, or atomically replaces it. Several processes may write it at once; the last one wins."""
    partial = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        write_synced(partial, content)
        partial.replace(path)
    except BaseException:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_synced(path: Path, content: bytes) -> None:
    """Writes a new file and syncs it to the disk.

    Raises:
        FileExistsError: a file of this name exists.
    """
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Syncs the names in a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
