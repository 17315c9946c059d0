"""How a process asks a registry: in one thread, which is left behind if there is no answer in time."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Thread
from typing import Protocol, Self

from mlpatterns.errors import RegistryDown
from mlpatterns.redaction import redact
from mlpatterns.references import RegisteredReference
from mlpatterns.registry.urls import is_service
from mlpatterns.stores.registry import Answer

__all__ = ["AskedRegistry", "Asker"]

PATIENCE = 5.0  # seconds for one answer
MOST_LEFT = 4  # threads that may wait for an answer that nobody expects any more


class Asker(Protocol):
    """One connection to one registry. Its calls block, and one thread makes them."""

    def find(self, reference: RegisteredReference) -> Answer:
        """As Registry.find."""
        ...

    def close(self) -> None: ...


class AskedRegistry:
    """The Registry at a URL: a database or the service of one.

    Raises:
        UserError: the URL is no registry's.
    """

    def __init__(self, url: str) -> None:
        self._url, self._left = url, list[_AskingThread]()
        self._thread = _AskingThread(_asker(url))

    @classmethod
    async def open(cls, url: str) -> Self:
        return cls(url)

    async def find(self, reference: RegisteredReference) -> Answer:
        thread = self._usable()
        try:
            return await asyncio.wait_for(asyncio.wrap_future(thread.ask(reference)), PATIENCE)
        except TimeoutError as error:
            raise self._gave_up(thread) from error

    def find_blocking(self, reference: RegisteredReference) -> Answer:
        """As `find`, for those who have no event loop."""
        thread = self._usable()
        try:
            return thread.ask(reference).result(PATIENCE)
        except TimeoutError as error:
            raise self._gave_up(thread) from error

    async def close(self) -> None:
        self.end()

    def end(self) -> None:
        """Ends the thread, which closes the connection, once it has its last answer."""
        self._thread.end()

    def _usable(self) -> _AskingThread:
        """The thread to ask, a new one after one that was left behind."""
        if self._thread in self._left:
            self._left = [thread for thread in self._left if thread.is_alive()]
            if len(self._left) >= MOST_LEFT:
                raise self._silent()
            self._thread = _AskingThread(_asker(self._url))
        return self._thread

    def _gave_up(self, thread: _AskingThread) -> RegistryDown:
        thread.end()
        if thread not in self._left:
            self._left.append(thread)
        return self._silent()

    def _silent(self) -> RegistryDown:
        return RegistryDown(f"the registry at {redact(self._url)} did not answer in {PATIENCE:g} s")


class _AskingThread(Thread):
    """Asks one question after the other. It is a daemon, so a process can end while a registry hangs."""

    def __init__(self, asker: Asker) -> None:
        super().__init__(name="registry", daemon=True)
        self._asker = asker
        self._questions: SimpleQueue[tuple[RegisteredReference, Future[Answer]] | None] = SimpleQueue()
        self.start()

    def ask(self, reference: RegisteredReference) -> Future[Answer]:
        answer: Future[Answer] = Future()
        self._questions.put((reference, answer))
        return answer

    def end(self) -> None:
        self._questions.put(None)

    def run(self) -> None:
        while question := self._questions.get():
            reference, answer = question
            if answer.set_running_or_notify_cancel():
                try:
                    answer.set_result(self._asker.find(reference))
                except Exception as error:
                    answer.set_exception(error)
            del question, answer  # a thread that waits keeps no answer, and no error with its frames
        self._asker.close()


def _asker(url: str) -> Asker:
    if is_service(url):
        from mlpatterns.registry.service import ServiceAsker  # an HTTP client, which few need

        return ServiceAsker(url)
    from mlpatterns.registry.database import DatabaseAsker

    return DatabaseAsker(url)
