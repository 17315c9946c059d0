"""Shared documents: typed values of the ControlStore. One poller keeps all documents of an app up to date."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Generic, TypeVar

import msgspec

from mlpatterns.errors import Conflict, Unavailable
from mlpatterns.interfaces import Clock, ControlStore, Document
from mlpatterns.predictor import Predictor
from mlpatterns.runtime.resetting import reset_once

__all__ = ["SharedDocument", "SharedDocuments"]

log = logging.getLogger("mlpatterns")

T = TypeVar("T")

POLL = 0.25  # seconds between two reads of the store
POLL_DOWN = 1.0  # the same, while the store does not answer
ATTEMPTS = 100  # to change a document that other processes change too
PAUSE = 0.02  # seconds at most before another attempt


class SharedDocument(Generic[T]):
    """One document; see interfaces.Shared.

    Args:
        key: its key in the store.
        kind: the type of its value; the stored JSON value is converted to it.
        initial: the value while there is none in the store.
        owner: the piece that the document belongs to.
    """

    def __init__(self, store: ControlStore, clock: Clock, key: str, kind: type[T], initial: T, owner: object) -> None:
        self.key, self.owner, self.initial = key, owner, initial
        self._store, self._clock, self._kind = store, clock, kind
        self._document: Document[T] | None = None
        self._watchers: list[Callable[[Document[T]], None]] = []

    @property
    def known(self) -> Document[T] | None:
        """The document, or None until the store was read for the first time."""
        return self._document

    @property
    def document(self) -> Document[T]:
        if self._document is None:
            raise Unavailable("the control store has not answered yet", retry_after=1)
        return self._document

    async def change(self, function: Callable[[T], T], by: str) -> Document[T]:
        for _ in range(ATTEMPTS):
            now = await self._read()
            wanted = function(now.value)
            if wanted == now.value:
                return now
            try:
                return await self._write(wanted, now.revision, by)
            except Conflict:
                await self._clock.sleep(random.uniform(0, PAUSE))  # noqa: S311 - so that two do not collide again
        raise Conflict(f"{self.key!r} is constantly changed by other processes; try again")

    async def history(self, limit: int = 20) -> Sequence[Document[T]]:
        return [self._typed(stored) for stored in await self._store.history(self.key, limit)]

    async def undo(self, by: str) -> Document[T]:
        versions = await self.history(2)
        if not versions:
            raise Conflict(f"{self.key!r} was never changed, so there is nothing to undo")
        before = versions[1].value if len(versions) > 1 else self.initial
        return await self._write(before, versions[0].revision, by)

    def watch(self, changed: Callable[[Document[T]], None]) -> None:
        self._watchers.append(changed)

    def seen(self, stored: Document[Any] | None, known: Document[T] | None) -> None:
        """Accepts the version that the store has.

        Args:
            known: the document when the read of the store began. If the document has changed since, it is newer than
                `stored`, and stays.

        Raises:
            Unavailable: `stored` is not of the document's type; the version that was read last stays.
        """
        if self._document is not known:
            return
        if stored is None:
            if self._document is None:
                self._accept(Document(self.initial))
        elif self._document is None or (stored.revision, stored.at) != (self._document.revision, self._document.at):
            self._accept(self._typed(stored))

    async def restore(self, known: Document[T]) -> None:
        """Writes the last known version again, because the store no longer has the document."""
        with suppress(Conflict):  # another process has already done it; the next poll reads it
            stored = await self._store.put(self.key, msgspec.to_builtins(known.value), expected=None, by=known.by)
            log.warning("the control store has lost the document %r; its last known version is written again", self.key)
            self.seen(stored, known)

    async def _read(self) -> Document[T]:
        known = self._document
        stored = (await self._store.get_many([self.key])).get(self.key)
        if stored is None and known is not None and known.revision:
            await self.restore(known)
            known, stored = self._document, (await self._store.get_many([self.key])).get(self.key)
        self.seen(stored, known)
        return self.document

    async def _write(self, value: T, revision: int, by: str) -> Document[T]:
        known = self._document
        stored = await self._store.put(self.key, msgspec.to_builtins(value), expected=revision or None, by=by)
        self.seen(stored, known)
        return self._typed(stored)

    def _typed(self, stored: Document[Any]) -> Document[T]:
        try:
            return Document(msgspec.convert(stored.value, self._kind), stored.revision, stored.by, stored.at)
        except msgspec.ValidationError as error:
            raise Unavailable(f"the document {self.key!r} in the control store cannot be read as its type") from error

    def _accept(self, document: Document[T]) -> None:
        self._document = document
        for changed in self._watchers:
            try:
                changed(document)
            except Exception:  # a failing watcher must stop neither the other watchers nor the poller
                log.exception("a watcher of the document %r failed", self.key)


class SharedDocuments:
    """All documents of one app, and their poller.

    Args:
        reset: the id of the run that resets all documents to their initial values. (default: they are not reset)

    Attributes:
        trouble: why the documents may be out of date, or an empty string.
    """

    def __init__(self, store: ControlStore, clock: Clock, reset: str | None = None) -> None:
        self._store, self._clock, self._reset = store, clock, reset
        self._documents: list[SharedDocument[Any]] = []
        self.trouble = ""

    @property
    def unread(self) -> list[str]:
        """The keys of the documents that have not been read yet."""
        return [document.key for document in self._documents if document.known is None]

    @property
    def _names(self) -> str:
        """The system, or the models of an app without one: the first part of their keys."""
        return ", ".join(dict.fromkeys(document.key.partition("/")[0] for document in self._documents))

    async def add(self, key: str, kind: type[T], initial: T, owner: Predictor | None) -> SharedDocument[T]:
        """Adds a document and reads it. If the store does not answer, the poller reads it later."""
        made = SharedDocument(self._store, self._clock, key, kind, initial, owner)
        self._documents.append(made)
        await self._look([made])
        return made

    def drop(self, owner: Predictor) -> None:
        """Removes the documents of a piece that has stopped, with their watchers."""
        self._documents = [one for one in self._documents if one.owner is not owner]

    async def poll(self) -> None:
        """Reads all documents periodically, until it is cancelled."""
        while True:
            await self._clock.sleep(POLL_DOWN if self.trouble else POLL)
            if self._documents:
                await self._look(list(self._documents))

    async def _look(self, documents: list[SharedDocument[Any]]) -> None:
        known = [document.known for document in documents]
        try:
            if self._reset is not None:
                for document in documents:
                    if document.known is None:  # reset before the first read
                        initial = msgspec.to_builtins(document.initial)
                        await reset_once(self._store, document.key, initial, self._reset)
            stored = await self._store.get_many([document.key for document in documents])
            for document, before in zip(documents, known, strict=True):
                if document.key not in stored and before is not None and before.revision:
                    await document.restore(before)
        except (Conflict, Unavailable) as error:
            self._note(str(error))
            return
        wrong = []  # a malformed document does not stop the others from being read
        for document, before in zip(documents, known, strict=True):
            if document not in self._documents:
                continue  # its piece has been stopped meanwhile
            try:
                document.seen(stored.get(document.key), before)
            except Unavailable as error:
                wrong.append(str(error))
        self._note("; ".join(wrong))

    def _note(self, trouble: str) -> None:
        if trouble and not self.trouble:
            unknown, used = "its documents are unknown until it answers", "the last known versions are used meanwhile"
            log.warning("%s: %s; %s", self._names, trouble, unknown if self.unread else used)
        if self.trouble and not trouble:
            log.info("%s: the control store answers again", self._names)
        self.trouble = trouble
