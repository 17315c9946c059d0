"""Shared documents: typed values of the ControlStore, kept fresh by one poller for all keys of a process."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import msgspec

from mlpatterns.errors import Conflict, Unavailable
from mlpatterns.interfaces import Clock, ControlStore, Document
from mlpatterns.predictor import Predictor

__all__ = ["SharedDocument", "SharedDocuments"]

log = logging.getLogger("mlpatterns")

T = TypeVar("T")

POLL = 0.25  # seconds between two looks at the store
POLL_DOWN = 1.0  # and while it does not answer
ATTEMPTS = 100  # at a change, while others change the document too
PAUSE = 0.02  # seconds at most before another attempt


class SharedDocument(Generic[T]):
    """One document; see interfaces.Shared.

    Args:
        key: in the store.
        kind: the type of its value; what is stored is converted to it.
        initial: the value while there is none in the store.
        owner: the piece that asked for it.
    """

    def __init__(self, store: ControlStore, clock: Clock, key: str, kind: type[T], initial: T, owner: object) -> None:
        self.key, self.owner = key, owner
        self._store, self._clock, self._kind, self._initial = store, clock, kind, initial
        self._document: Document[T] | None = None
        self._watchers: list[Callable[[Document[T]], None]] = []

    @property
    def is_read(self) -> bool:
        """Whether it has been read, so that there is a document."""
        return self._document is not None

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
                await self._clock.sleep(random.uniform(0, PAUSE))  # noqa: S311 - so that two do not meet again
        raise Conflict(f"{self.key!r} is changed by others all the time; try again")

    async def history(self, limit: int = 20) -> Sequence[Document[T]]:
        return [self._typed(stored) for stored in await self._store.history(self.key, limit)]

    async def undo(self, by: str) -> Document[T]:
        versions = await self.history(2)
        if not versions:
            raise Conflict(f"{self.key!r} was never changed, so there is nothing to undo")
        before = versions[1].value if len(versions) > 1 else self._initial
        return await self._write(before, versions[0].revision, by)

    def watch(self, changed: Callable[[Document[T]], None]) -> None:
        self._watchers.append(changed)

    def seen(self, stored: Document[Any] | None) -> None:
        """The store has this now.

        Raises:
            Unavailable: it is not of the document's type; the last that was read stays.
        """
        if stored is None:
            if self._document is None:
                self._accept(Document(self._initial))
        elif self._document is None or stored.revision != self._document.revision:
            self._accept(self._typed(stored))

    async def _read(self) -> Document[T]:
        self.seen((await self._store.get_many([self.key])).get(self.key))
        return self.document

    async def _write(self, value: T, revision: int, by: str) -> Document[T]:
        stored = await self._store.put(self.key, msgspec.to_builtins(value), expected=revision or None, by=by)
        self.seen(stored)
        return self._typed(stored)

    def _typed(self, stored: Document[Any]) -> Document[T]:
        try:
            return Document(msgspec.convert(stored.value, self._kind), stored.revision, stored.by, stored.at)
        except msgspec.ValidationError as error:
            raise Unavailable(f"the document {self.key!r} in the control store is not what it should be") from error

    def _accept(self, document: Document[T]) -> None:
        self._document = document
        for changed in self._watchers:
            changed(document)


class SharedDocuments:
    """All documents of one app, and the poller.

    Attributes:
        trouble: why the documents may be old, or nothing.
    """

    def __init__(self, store: ControlStore, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._documents: list[SharedDocument[Any]] = []
        self.trouble = ""

    @property
    def unread(self) -> list[str]:
        """The keys of those that could not be read yet."""
        return [document.key for document in self._documents if not document.is_read]

    async def add(self, key: str, kind: type[T], initial: T, owner: Predictor | None) -> SharedDocument[T]:
        """A document, read at once if the store answers."""
        made = SharedDocument(self._store, self._clock, key, kind, initial, owner)
        self._documents.append(made)
        await self._look([made])
        return made

    def drop(self, owner: Predictor) -> None:
        """Forgets the documents of a piece that has stopped, and whom they told of changes."""
        self._documents = [one for one in self._documents if one.owner is not owner]

    async def poll(self) -> None:
        """Looks again and again, until it is cancelled."""
        while True:
            await self._clock.sleep(POLL_DOWN if self.trouble else POLL)
            if self._documents:
                await self._look(list(self._documents))

    async def _look(self, documents: list[SharedDocument[Any]]) -> None:
        try:
            stored = await self._store.get_many([document.key for document in documents])
            for document in documents:
                document.seen(stored.get(document.key))
        except Unavailable as error:
            if not self.trouble:
                log.warning("%s; what was read last counts until it does", error)
            self.trouble = "the control store does not answer"
        else:
            if self.trouble:
                log.info("the control store answers again")
            self.trouble = ""
