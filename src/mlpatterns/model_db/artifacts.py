"""Artifact folders: written whole or not at all, and never written over."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from time import time

from msgspec import Struct

from mlpatterns.errors import UserError
from mlpatterns.registry.files import MANIFEST, dump_manifest
from mlpatterns.registry.urls import artifacts_root

__all__ = ["Published", "publish", "withdraw"]

PARTIAL = ".partial-"
STALE = 86_400.0  # seconds after which an unfinished folder belongs to a process that died


class Published(Struct, frozen=True):
    """A folder in its place. `url` is relative to the artifacts' root."""

    folder: Path
    url: str
    manifest_sha256: str


def publish(home: Path, model: str, key: str, files: Mapping[str, bytes]) -> Published:
    """Writes `files` and their manifest as ``<home>/artifacts/<model>/<key>``: into a folder beside it, to the disk,
    then renamed, so that what has its final name is whole.

    Raises:
        UserError: if it cannot be written, or is there already.
    """
    root = artifacts_root(home)
    folder, partial = root / model / key, root / f"{PARTIAL}{key}"
    manifest = dump_manifest(files)
    try:
        _sweep(root)
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial.mkdir()
        for name, content in {**files, MANIFEST: manifest}.items():
            _write(partial / name, content)
        _sync(partial)
        if folder.exists():
            raise UserError(f"the artifact {model}/{key} is there already; artifacts are never written over")
        partial.rename(folder)
        _sync(folder.parent)
    except OSError as error:
        raise UserError(f"cannot write to {home}: {(error.strerror or str(error)).lower()}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return Published(folder, f"{model}/{key}", hashlib.sha256(manifest).hexdigest())


def withdraw(published: Published) -> None:
    """Removes a folder that no version came to name."""
    shutil.rmtree(published.folder, ignore_errors=True)


def _write(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    """A rename is on the disk only when its folder is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sweep(root: Path) -> None:
    """Removes what killed processes left unfinished."""
    for left in root.glob(f"{PARTIAL}*"):
        with suppress(FileNotFoundError):  # another writer has just given it its final name
            if time() - left.stat().st_mtime > STALE:
                shutil.rmtree(left, ignore_errors=True)
