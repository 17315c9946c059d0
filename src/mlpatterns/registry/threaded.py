"""A registry that is queried in a separate thread. If a query takes too long, it is abandoned with its thread."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from typing import Protocol, Self

from mlpatterns.redaction import redact
from mlpatterns.references import RegisteredReference
from mlpatterns.registry.threads import DaemonThread
from mlpatterns.registry.urls import is_service
from mlpatterns.stores.registry import VersionFiles
from mlpatterns.user_errors import RegistryDown

__all__ = ["RegistryConnection", "ThreadedRegistry"]

PATIENCE = 5.0  # seconds to wait for one answer
MOST_LEFT = 4  # the most abandoned threads that still wait for an answer; beyond that, queries fail at once


class RegistryConnection(Protocol):
    """A connection to a registry. Its calls block, and only one thread may make them."""

    def find(self, reference: RegisteredReference) -> VersionFiles:
        """See Registry.find."""
        ...

    def close(self) -> None: ...


class ThreadedRegistry:
    """The Registry at a URL: a database, or the service of a model DB.

    Raises:
        UserError: the URL is not the URL of a registry.
    """

    def __init__(self, url: str) -> None:
        self._url, self._left = url, list[DaemonThread]()
        self._connection, self._thread = _connect(url), DaemonThread("registry")

    @classmethod
    async def open(cls, url: str) -> Self:
        return cls(url)

    async def find(self, reference: RegisteredReference) -> VersionFiles:
        with self._asking(reference) as answer:
            return await asyncio.wait_for(asyncio.wrap_future(answer), PATIENCE)

    def find_blocking(self, reference: RegisteredReference) -> VersionFiles:
        """Like `find`, but blocks and needs no event loop."""
        with self._asking(reference) as answer:
            return answer.result(PATIENCE)

    async def close(self) -> None:
        self.end()

    def end(self) -> None:
        """Ends the thread after its last query, and closes the connection there."""
        self._thread.submit(self._connection.close)
        self._thread.end()

    @contextmanager
    def _asking(self, reference: RegisteredReference) -> Iterator[Future[VersionFiles]]:
        """The future of a query. If it times out, its thread is abandoned and the next query gets a new thread."""
        if self._thread in self._left:
            self._left = [thread for thread in self._left if thread.is_alive()]
            if len(self._left) >= MOST_LEFT:
                raise self._silent()
            self._connection, self._thread = _connect(self._url), DaemonThread("registry")
        thread = self._thread
        try:
            yield thread.submit(partial(self._connection.find, reference))
        except TimeoutError as error:
            if thread not in self._left:
                self.end()
                self._left.append(thread)
            raise self._silent() from error

    def _silent(self) -> RegistryDown:
        return RegistryDown(f"the registry at {redact(self._url)} did not answer in {PATIENCE:g} s")


def _connect(url: str) -> RegistryConnection:
    if is_service(url):
        from mlpatterns.registry.service import ServiceConnection  # few processes need an HTTP client

        return ServiceConnection(url)
    from mlpatterns.registry.database import DatabaseConnection

    return DatabaseConnection(url)
