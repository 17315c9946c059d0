"""Artifacts: folders of objects, whole before a version names them, and removed when none does any more."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from msgspec import Struct

from mlpatterns.errors import Conflict, PredictionError, UserError
from mlpatterns.registry.fetching import keep
from mlpatterns.registry.files import MANIFEST, dump_manifest
from mlpatterns.stores import open_objects
from mlpatterns.stores.objects import ObjectStore
from mlpatterns.stores.objects_file import folder_of

__all__ = ["Published", "publish", "remove", "withdraw"]


class Published(Struct, frozen=True):
    """A folder in its place. `url` is relative to `root`, the URL of all artifacts; `folder` is it on this machine."""

    folder: Path
    root: str
    url: str
    manifest_sha256: str


def publish(root: str, model: str, key: str, files: Mapping[str, bytes], *, home: Path) -> Published:
    """Writes `files` and their manifest as ``<model>/<key>`` below `root`, each only where nothing is, the manifest
    last: who wrote it wrote all that it lists, and what has none was left by a process that died.

    Args:
        home: what is published elsewhere than in a folder is kept below it too.

    Raises:
        UserError: if it cannot be written, or is there already.
    """
    store, url, manifest = open_objects(root), f"{model}/{key}", dump_manifest(files)
    whole, digest = {**files, MANIFEST: manifest}, hashlib.sha256(manifest).hexdigest()
    try:
        with _created(store, url, whole):
            folder = folder_of(root) / url if root.startswith("file:") else keep(home, digest, whole, what=url)
    except Conflict as error:
        raise UserError(f"the artifact {url} is there already; artifacts are never written over") from error
    except PredictionError as error:
        raise UserError(str(error)) from error
    return Published(folder, root, url, digest)


def withdraw(published: Published) -> None:
    """Removes a folder that no version came to name."""
    with suppress(PredictionError):  # a store that went down meanwhile: what stays is swept
        remove(published.root, published.url)


def remove(root: str, url: str) -> None:
    """Deletes what is below `url`, the manifest first: what is left by one that is killed is no artifact any more.

    Raises:
        Unavailable: the store does not answer.
    """
    store = open_objects(root)
    for each in sorted(store.listed(url), key=lambda one: not one.key.endswith(f"/{MANIFEST}")):
        store.delete(each.key)


@contextmanager
def _created(store: ObjectStore, url: str, files: Mapping[str, bytes]) -> Iterator[None]:
    """All of `files`; if that or the block fails, those are deleted that were created here, and nobody else's."""
    written: list[str] = []
    try:
        for name, content in files.items():
            store.create(f"{url}/{name}", content)
            written.append(f"{url}/{name}")
        yield
    except BaseException:
        with suppress(PredictionError):  # what stays is swept
            for key in reversed(written):
                store.delete(key)
        raise
