"""Removes artifacts that no version names, which killed trainings and deletions leave, once they are a day old."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable

from msgspec import Struct

from mlpatterns.model_db.artifacts import delete_all
from mlpatterns.registry.urls import relative_url
from mlpatterns.stores import open_objects
from mlpatterns.stores.objects import StoredObject

from sqlalchemy import Engine, select  # isort: skip - after what names the extra
from sqlalchemy.orm import Session  # isort: skip

from mlpatterns.model_db.tables import Artifact  # isort: skip

__all__ = ["DAY", "UnnamedArtifact", "sweep"]

# The folders that `publish` writes, and unfinished folders of earlier releases. Nothing else is removed.
_OURS = re.compile(r"([^/]+/[0-9a-f]{32}|\.partial-[0-9a-f]{32})(?=/)")
DAY = 86_400.0  # seconds; long enough, because a version names its files soon after they are published


class UnnamedArtifact(Struct, frozen=True):
    """A folder below the artifacts' root that no version names, the bytes in it and the keys of its objects."""

    url: str
    bytes: int
    keys: tuple[str, ...]


def sweep(engine: Engine, root: str, *, older: float = DAY, dry: bool = False) -> list[UnnamedArtifact]:
    """Removes every unnamed folder whose objects are all older than `older` seconds; returns the folders that it found.

    With `dry`, it removes nothing. A root must belong to one registry only: folders that another registry names count
    as unnamed.

    Raises:
        Unavailable: the store does not answer.
    """
    store = open_objects(root)
    objects = store.listed()  # listed before the names are read, so it has no folder that is published later
    with Session(engine) as session:
        inners = {
            inner for url in session.scalars(select(Artifact.url)) if (inner := relative_url(root, url)) is not None
        }
    named = {match[0] for inner in inners if (match := _OURS.match(f"{inner}/"))}
    until = time.time() - older
    found = [
        UnnamedArtifact(folder, sum(one.bytes for one in members), tuple(one.key for one in members))
        for folder, members in _folders(objects).items()
        if folder not in named and all(one.modified < until for one in members)
    ]
    for one in found if not dry else ():
        delete_all(store, one.keys)
    return found


def _folders(objects: Iterable[StoredObject]) -> dict[str, list[StoredObject]]:
    """The objects by folder, for the folders that are named like an artifact. Weights may be in subfolders. A folder
    without objects directly in it was not written by `publish`, and is left out."""
    folders: dict[str, list[StoredObject]] = {}
    for one in objects:
        if ours := _OURS.match(one.key):
            folders.setdefault(ours[0], []).append(one)
    return {
        folder: members
        for folder, members in folders.items()
        if any(one.key.rpartition("/")[0] == folder for one in members)
    }
