"""What a version claims of its files is held against them, where they lie below this service's artifacts."""

from __future__ import annotations

import hashlib

import msgspec

from mlpatterns.errors import Conflict, InvalidInput, NotFound, TooLarge
from mlpatterns.registry.files import MANIFEST, MODEL, Manifest
from mlpatterns.registry.urls import MANIFEST_BYTES, below
from mlpatterns.stores import open_objects

__all__ = ["check_arrived"]


def check_arrived(root: str, *, artifact_url: str, manifest_sha256: str, sha256: str) -> None:
    """Reads the manifest. A URL with a scheme that is not below `root` is of files that this service does not reach:
    it is taken as it is, and a server that cannot reach them either refuses it.

    Raises:
        Conflict: there is no artifact at `artifact_url`.
        InvalidInput: it is another one, or `artifact_url` is none.
        Unavailable: the store does not answer.
    """
    inner = below(root, artifact_url)
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
        listed = msgspec.json.decode(content, type=Manifest).files.get(MODEL)
    except msgspec.MsgspecError:
        raise InvalidInput(f"the {MANIFEST} at artifact_url is not a manifest") from None
    if listed is None or listed.sha256 != sha256:
        raise InvalidInput(f"sha256 is not what the {MANIFEST} at artifact_url says of {MODEL}")
