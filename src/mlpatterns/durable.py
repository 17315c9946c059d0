"""Files that a kill or a crash leaves whole: the old one or the new one, and nothing between.

Bytes are on the disk when their file is synced, and a name when its folder is (fsync(2)).
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

__all__ = ["sync_folder", "write_synced", "write_whole"]


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file, in place of the one before if there is one. Several may write it at once: the last one stays."""
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
    """Writes a file of a new name, on to the disk.

    Raises:
        FileExistsError: the name is taken.
    """
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Puts the names in a folder on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
