"""Renews the leases of claimed jobs. A separate thread with its own connection does this, so that no lease is lost if a
model blocks the event loop or a commit takes long."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import NamedTuple

from mlpatterns.errors import Unavailable
from mlpatterns.stores.jobs import Claim, ClaimRequest, Fence
from mlpatterns.stores.jobs_sqlite.claiming import renew
from mlpatterns.stores.jobs_sqlite.file import Connected, JobsFile

__all__ = ["Leases"]

A_LEASE = 3  # renewals during one lease


class HeldClaim(NamedTuple):
    claim: Claim
    wanted: ClaimRequest
    until: float  # by the monotonic clock


class Leases:
    """Renews the leases of the claims of one store."""

    def __init__(self, file: JobsFile) -> None:
        self._file = file
        self._held: dict[Fence, HeldClaim] = {}
        self._ending: set[Fence] = set()  # still renewed until their end is written, but `lost` is not called
        self._lock = threading.Lock()  # for both
        self._sooner = threading.Event()  # the thread must compute the next renewal again
        self._shortest: float | None = None
        self._thread: threading.Thread | None = None
        self._closing = False
        self._loop: asyncio.AbstractEventLoop

    def add(self, claims: Sequence[Claim], wanted: ClaimRequest) -> None:
        until = time.monotonic() + wanted.hold
        with self._lock:
            for claim in claims:
                self._held[claim.fence] = HeldClaim(claim, wanted, until)
            sooner = self._shortest is None or wanted.lease < self._shortest
        if self._thread is None:
            self._loop = asyncio.get_running_loop()
            self._thread = threading.Thread(target=self._run, name="job leases", daemon=True)
            self._thread.start()
        elif sooner:
            self._sooner.set()

    @contextmanager
    def ending(self, claim: Claim) -> Iterator[None]:
        """A context for writing the end of a job. If the body succeeds, the lease is no longer renewed."""
        with self._lock:
            self._ending.add(claim.fence)
        try:
            yield
            with self._lock:
                self._held.pop(claim.fence, None)
        finally:
            with self._lock:
                self._ending.discard(claim.fence)

    async def close(self) -> None:
        self._closing = True
        self._sooner.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        renewed = time.monotonic()
        while not self._closing:
            with self._lock:
                self._shortest = min((each.wanted.lease for each in self._held.values()), default=None)
            if self._shortest is None:
                self._sooner.wait()
                renewed = time.monotonic()
            elif not self._sooner.wait(max(0.0, renewed + self._shortest / A_LEASE - time.monotonic())):
                self._renew()
                renewed = time.monotonic()
            self._sooner.clear()
        self._file.close()

    def _renew(self) -> None:
        now = time.monotonic()
        with self._lock:
            over = [each for each in self._held.values() if now >= each.until]
            held = [each for each in self._held.values() if now < each.until]
        try:
            with self._file.writing() as connection:
                rows = renew(Connected(connection, 0), [(each.claim, each.wanted.lease) for each in held])
        except Unavailable:
            return  # the next attempt comes before the lease ends
        self._tell_lost([*over, *(each for each in held if each.claim.row not in rows)])

    def _tell_lost(self, lost: Sequence[HeldClaim]) -> None:
        """Reports all lost claims in one call. With one call per claim, the slot of a lost job could go to another job
        that is lost too."""
        with self._lock:  # except claims whose end is being written
            told = [
                each
                for each in lost
                if each.claim.fence not in self._ending and self._held.pop(each.claim.fence, None) is not None
            ]
        if told:
            with suppress(RuntimeError):  # the loop has closed
                self._loop.call_soon_threadsafe(_tell, told)


def _tell(lost: Sequence[HeldClaim]) -> None:
    for each in lost:
        each.wanted.lost(each.claim)
