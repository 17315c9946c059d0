"""Provides the verified files of a version on this machine: in the folder of artifacts, or fetched into a cache.

The cache is `<home>/cache/artifacts`. The name of an entry is the digest of its manifest, so a server can start from
the cache while the store is down. An entry gets its name once it is complete. The folder may be deleted at any time.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event
from uuid import uuid4

from msgspec import Struct

from mlpatterns.errors import NotFound, TooLarge, Unavailable
from mlpatterns.registry.files import AGAIN, MANIFEST, Manifest, read_manifest, verify
from mlpatterns.registry.urls import MANIFEST_BYTES, relative_url
from mlpatterns.stores import open_objects
from mlpatterns.stores.objects import ObjectStore, is_key
from mlpatterns.stores.objects_file import folder_of
from mlpatterns.stores.registry import VersionFiles
from mlpatterns.user_errors import ArtifactsDown, ModelFileError, UserError

__all__ = ["FetchAbandoned", "fetch_files", "is_local", "keep_in_cache"]

PARTIAL = ".partial-"
STALE = 86_400.0  # seconds after which an unfinished folder is assumed to belong to a dead process

Fill = Callable[[Path], None]


class FetchAbandoned(Exception):
    """A fetch was stopped, because no caller waits for the files any more."""


def fetch_files(
    root: str, answer: VersionFiles, *, what: str, home: Path, stop: Event | None = None
) -> tuple[Path, Manifest]:
    """The folder of a version and its manifest, after every file was checked against its SHA-256.

    Args:
        root: the root URL of all artifacts.
        what: the name of the version in error texts.
        home: fetched files are cached below this folder.
        stop: set it to stop the fetch within seconds.

    Raises:
        ModelFileError: a file is missing or damaged.
        ArtifactsDown: the store does not answer, and the version is not in the cache.
        UserError: the home cannot be written.
        FetchAbandoned: `stop` was set.
    """
    inner = relative_url(root, answer.folder)
    if inner is None or not is_key(inner) or not re.fullmatch("[0-9a-f]{64}", answer.manifest_sha256):
        raise ModelFileError(f"{what} is registered outside the artifacts of this home")
    if root.startswith("file:"):
        folder = _in_place(folder_of(root), inner, what)
        return folder, verify(folder, what=what, sha256=answer.manifest_sha256)
    download = _Download(root, inner, answer, what, stop or Event())
    return _kept(home, answer.manifest_sha256, what, download.into)


def is_local(root: str, answer: VersionFiles, home: Path) -> bool:
    """Whether the folder of a version's files is on this machine. Reads no file and queries no store."""
    if root.startswith("file:"):
        inner = relative_url(root, answer.folder)
        return inner is not None and (folder_of(root) / inner).is_dir()
    return (_cache(home) / answer.manifest_sha256).is_dir()


def keep_in_cache(home: Path, manifest_sha256: str, files: Mapping[str, bytes], *, what: str) -> Path:
    """Puts files that this process has just published into the cache; returns their folder."""

    def write(partial: Path) -> None:
        for name, content in files.items():
            _write(partial, name, [content])

    return _kept(home, manifest_sha256, what, write)[0]


def _in_place(root: Path, inner: str, what: str) -> Path:
    folder = root / inner
    if not folder.resolve().is_relative_to(root.resolve()):
        raise ModelFileError(f"{what} is registered outside the artifacts of this home")
    if not folder.is_dir():
        raise ModelFileError(f"{what} is registered, but its files are not in this MLPATTERNS_HOME; train it again")
    return folder


def _cache(home: Path) -> Path:
    return home / "cache" / "artifacts"


def _kept(home: Path, manifest_sha256: str, what: str, fill: Fill) -> tuple[Path, Manifest]:
    """The cache entry with this digest. If it is missing or damaged, `fill` writes it, and its files are checked."""
    cache = _cache(home)
    kept = cache / manifest_sha256
    with _writing(home):
        if kept.is_dir():
            try:
                return kept, verify(kept, what=what, sha256=manifest_sha256)
            except ModelFileError:  # this copy is damaged; the store has another
                _drop(kept)
        cache.mkdir(parents=True, exist_ok=True)
        _sweep(cache)
        partial = cache / f"{PARTIAL}{uuid4().hex}"
        partial.mkdir()
        try:
            fill(partial)
            manifest = verify(partial, what=what, sha256=manifest_sha256)
            _settle(partial, kept)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return kept, manifest


def _settle(partial: Path, kept: Path) -> None:
    """Gives a complete entry its name. Another process may have created the same entry first."""
    try:
        partial.rename(kept)
    except OSError:
        if not kept.is_dir():
            raise


def _drop(kept: Path) -> None:
    aside = kept.with_name(f"{PARTIAL}{uuid4().hex}")
    with suppress(FileNotFoundError):  # another process found the damage too
        kept.rename(aside)
    shutil.rmtree(aside, ignore_errors=True)


class _Download(Struct, frozen=True):
    """A download of a version's files from a store."""

    root: str
    inner: str
    answer: VersionFiles
    what: str
    stop: Event

    def into(self, folder: Path) -> None:
        """Downloads the manifest and checks its digest before it uses the names in it; then downloads the files."""
        store = open_objects(self.root)
        self._get(store, MANIFEST, MANIFEST_BYTES, folder)
        for name, entry in read_manifest(folder, self.what, self.answer.manifest_sha256).files.items():
            self._get(store, name, entry.bytes, folder)

    def _get(self, store: ObjectStore, name: str, most: int, folder: Path) -> None:
        what = self.what
        try:
            _write(folder, name, self._until_stopped(store.chunks(f"{self.inner}/{name}", most)))
        except NotFound as error:
            raise ModelFileError(
                f"{what} is registered, but its {name} is not at {self.root}; train it again"
            ) from error
        except TooLarge as error:
            raise ModelFileError(f"{what}: {name} does not match its SHA-256; {AGAIN}") from error
        except Unavailable as error:
            raise ArtifactsDown(f"{what} cannot be fetched: {error}") from error

    def _until_stopped(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            if self.stop.is_set():
                raise FetchAbandoned
            yield chunk


def _write(folder: Path, name: str, chunks: Iterable[bytes]) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.writelines(chunks)


@contextmanager
def _writing(home: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot write to {home}: {(error.strerror or str(error)).lower()}") from error


def _sweep(cache: Path) -> None:
    """Removes unfinished folders that killed processes left."""
    for left in cache.glob(f"{PARTIAL}*"):
        with suppress(FileNotFoundError):  # another process has just given it its name
            if time.time() - left.stat().st_mtime > STALE:
                shutil.rmtree(left, ignore_errors=True)
