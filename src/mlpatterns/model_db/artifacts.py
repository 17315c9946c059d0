"""Artifacts: folders of objects that are complete before a version names them, and removed when no version does."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from mlpatterns.errors import Conflict, InvalidInput, NotFound, PredictionError, TooLarge
from mlpatterns.registry.fetching import keep_in_cache
from mlpatterns.registry.files import MANIFEST, MODEL, Manifest, dump_manifest
from mlpatterns.registry.urls import MANIFEST_BYTES, relative_url
from mlpatterns.stores import open_objects
from mlpatterns.stores.objects import ObjectStore
from mlpatterns.stores.objects_file import folder_of
from mlpatterns.user_errors import UserError

__all__ = ["PublishedArtifact", "check_published", "delete_all", "publish", "remove", "remove_unnamed"]


log = logging.getLogger("mlpatterns")


class PublishedArtifact(Struct, frozen=True):
    """A published folder. `url` is relative to `root`, the URL of all artifacts; `folder` is its local copy."""

    folder: Path
    root: str
    url: str
    manifest_sha256: str


def publish(root: str, model: str, key: str, files: Mapping[str, bytes], *, home: Path) -> PublishedArtifact:
    """Writes `files` and their manifest as ``<model>/<key>`` below `root`, and never overwrites an object. The manifest
    is written last: if a folder has no manifest, the process that wrote it died.

    Args:
        home: if `root` is not a local folder, the files are also cached below this folder.

    Raises:
        UserError: the folder cannot be written, or already exists.
    """
    store, url, manifest = open_objects(root), f"{model}/{key}", dump_manifest(files)
    whole, digest = {**files, MANIFEST: manifest}, hashlib.sha256(manifest).hexdigest()
    try:
        with _created(store, url, whole):
            folder = folder_of(root) / url if root.startswith("file:") else keep_in_cache(home, digest, whole, what=url)
    except Conflict as error:
        raise UserError(f"the artifact {url} already exists; artifacts are never overwritten") from error
    except PredictionError as error:
        raise UserError(str(error)) from error
    return PublishedArtifact(folder, root, url, digest)


def check_published(root: str, *, artifact_url: str, manifest_sha256: str, sha256: str) -> None:
    """Checks the digests that a version claims for its files against their manifest.

    A URL with a scheme that is not below `root` names files that this service cannot reach. It is not checked; a server
    that cannot reach the files either refuses the version.

    Raises:
        Conflict: there is no artifact at `artifact_url`.
        InvalidInput: a digest is not that of the artifact, or `artifact_url` is malformed.
        Unavailable: the store does not answer.
    """
    inner = relative_url(root, artifact_url)
    if inner is None:
        return
    try:
        content = open_objects(root).read(f"{inner}/{MANIFEST}", MANIFEST_BYTES)
    except NotFound:
        raise Conflict(f"there is no {MANIFEST} at artifact_url; put the files in their place first") from None
    except TooLarge:
        raise InvalidInput(f"the {MANIFEST} at artifact_url has more than {MANIFEST_BYTES} bytes") from None
    if hashlib.sha256(content).hexdigest() != manifest_sha256:
        raise InvalidInput(f"manifest_sha256 is not the digest of the {MANIFEST} at artifact_url")
    try:
        claimed = msgspec.json.decode(content, type=Manifest).identity()
    except (msgspec.MsgspecError, KeyError):
        raise InvalidInput(f"the {MANIFEST} at artifact_url is not a manifest of a {MODEL}") from None
    if claimed != sha256:
        raise InvalidInput(f"sha256 is not what the {MANIFEST} at artifact_url says of {MODEL}")


def remove_unnamed(root: str, url: str | None) -> bool:
    """Removes the files of an artifact that no version names, if they are below `root`. Returns False if this failed;
    the files then stay until `sweep` removes them."""
    inner = None if url is None else relative_url(root, url)
    try:
        if inner is not None:
            remove(root, inner)
    except PredictionError as error:
        log.warning("the files of an artifact stay until `mlpatterns registry sweep` removes them: %s", error)
        return False
    return True


def remove(root: str, url: str) -> None:
    """Deletes the objects of the folder `url` itself, and those in its subfolders that its manifest lists.

    Raises:
        InvalidInput: `url` is not a valid folder of objects.
        Unavailable: the store does not answer.
    """
    store = open_objects(root)
    ours = {f"{url}/{name}" for name in _listed(store, url)}
    delete_all(store, [one.key for one in store.listed(url) if one.key in ours or one.key.rpartition("/")[0] == url])


def _listed(store: ObjectStore, url: str) -> Iterable[str]:
    """The files that the manifest of a folder lists; none if it has no readable manifest."""
    with suppress(NotFound, TooLarge, msgspec.MsgspecError):
        return msgspec.json.decode(store.read(f"{url}/{MANIFEST}", MANIFEST_BYTES), type=Manifest).files
    return ()


def delete_all(store: ObjectStore, keys: Iterable[str]) -> None:
    """Deletes the manifest first, so that an interrupted deletion leaves no valid artifact. Then it deletes the deepest
    objects first: `sweep` recognizes the rest by the objects in the folder itself, and no empty folder stays."""
    for key in sorted(keys, key=lambda key: (not key.endswith(f"/{MANIFEST}"), -key.count("/"))):
        store.delete(key)


@contextmanager
def _created(store: ObjectStore, url: str, files: Mapping[str, bytes]) -> Iterator[None]:
    """Creates `files`. If this or the block of the `with` statement fails, deletes the files that it created."""
    written: list[str] = []
    try:
        for name, content in files.items():
            store.create(f"{url}/{name}", content)
            written.append(f"{url}/{name}")
        yield
    except BaseException:
        with suppress(PredictionError):  # `sweep` removes the rest
            for key in reversed(written):
                store.delete(key)
        raise
