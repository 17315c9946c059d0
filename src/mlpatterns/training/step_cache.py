"""A cache of the outputs of a pipeline's steps, keyed by the content of their inputs, not by time or place.

``<root>/<step>/<key>`` holds an output; the key is a digest of the step's name, its parameters and the digests of its
inputs. A step works in ``<key>.unfinished``, which is renamed when the output is complete. So a killed process leaves
no partial output, and the next process resumes from the files that it had saved.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from mlpatterns.durable import sync_folder, write_whole
from mlpatterns.registry.files import MANIFEST, FileEntry, Manifest, digest
from mlpatterns.user_errors import UserError

__all__ = ["LOG", "SCRATCH", "StepCache", "StepOutput"]

# Two folders of an output that do not count as its content.
LOG = "log"  # times and speeds, which differ between equal outputs
SCRATCH = "scratch"  # the files from which an interrupted step resumes; removed when the step has finished


class StepOutput(Struct, frozen=True):
    """A finished step. `digest` is that of its files' contents; `cached` is true if the output already existed."""

    step: str
    folder: Path
    digest: str
    cached: bool


class StepCache:
    """The outputs under a folder.

    Args:
        root: the folder; it is created when needed.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def run(
        self, step: str, make: Callable[[Path], None], *, parameters: Mapping[str, Any], inputs: Mapping[str, str]
    ) -> StepOutput:
        """The output of a step; runs the step if the output is missing or damaged. Of two processes, only one runs it.

        Args:
            make: fills a folder, in which an interrupted attempt may have left files; its folders `SCRATCH` and `LOG`
                exist already.
            parameters: everything that determines the output besides its inputs; valid as JSON.
            inputs: the digests of the inputs, by name.

        Raises:
            UserError: the folder cannot be written. Errors of `make` are passed on.
        """
        key = _key({"step": step, "parameters": parameters, "inputs": inputs})
        folder = self.root / step / key
        try:
            with _lock(folder):
                found = _content(folder)
                if found is not None:
                    return StepOutput(step, folder, found, cached=True)
                return StepOutput(step, folder, _made(folder, make), cached=False)
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise UserError(f"cannot write to {self.root}: {why}; make room, or set MLPATTERNS_HOME") from error


def _key(record: Mapping[str, Any]) -> str:
    return hashlib.sha256(msgspec.json.encode(record, order="sorted")).hexdigest()[:24]


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # the kernel releases it when the process ends, even if it is killed
        yield


def _made(folder: Path, make: Callable[[Path], None]) -> str:
    shutil.rmtree(folder, ignore_errors=True)  # an existing output that is incomplete or damaged
    work = folder.with_name(f"{folder.name}.unfinished")
    for name in (SCRATCH, LOG):
        (work / name).mkdir(parents=True, exist_ok=True)
    make(work)
    entries = {
        str(path.relative_to(work)): FileEntry(digest(path), path.stat().st_size)
        for path in sorted(work.rglob("*"))
        if path.is_file() and path.name != MANIFEST and path.relative_to(work).parts[0] not in (LOG, SCRATCH)
    }
    content = msgspec.json.format(msgspec.json.encode(Manifest(entries)), indent=2)
    write_whole(work / MANIFEST, content)
    work.rename(folder)
    sync_folder(folder.parent)
    shutil.rmtree(folder / SCRATCH, ignore_errors=True)
    return hashlib.sha256(content).hexdigest()


def _content(folder: Path) -> str | None:
    """The digest of a finished output, or None if it is missing or damaged."""
    try:
        content = (folder / MANIFEST).read_bytes()
        entries = msgspec.json.decode(content, type=Manifest).files
    except (FileNotFoundError, msgspec.MsgspecError):
        return None
    whole = all((folder / name).is_file() and digest(folder / name) == entry.sha256 for name, entry in entries.items())
    return hashlib.sha256(content).hexdigest() if whole else None
