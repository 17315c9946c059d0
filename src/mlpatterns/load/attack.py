"""`attack`: load a server at a constant rate, or at several one after the other, and report what came of it."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from mlpatterns.load.engine import Engine
from mlpatterns.load.pool import Pool
from mlpatterns.load.report import Report, made
from mlpatterns.load.schedule import phases
from mlpatterns.load.target import Origin, Target
from mlpatterns.user_errors import UserError, WrongUse

__all__ = ["Stop", "attack"]

CONNECTIONS = 10_000  # open at once at most, to each host, as far as the process may have so many files
SPARE_FILES = 100  # what else the process may have open
UNANSWERED = 2.0  # seconds that a load which is interrupted waits for the answers that are still to come


class Stop(Protocol):
    """Ends a load early; an asyncio.Event is one."""

    async def wait(self) -> object: ...


async def attack(
    targets: str | Target | Sequence[Target],
    *,
    rate: float | Sequence[float],
    seconds: float,
    request_timeout: float = 30.0,
    connections: int = CONNECTIONS,
    allow_remote: bool = False,
    ca: Path | None = None,
    stop: Stop | None = None,
    watch: Callable[[Engine], None] | None = None,
) -> Report:
    """Sends requests at a rate that does not depend on the answers (an open loop), and waits for all answers.

    A latency counts from the time at which the request was planned, so that a server which stalls is seen by all who
    would have waited for it (no coordinated omission). Connections are kept, and as many are opened as are needed.

    Args:
        targets: a URL to get, or what to send, one after the other and over again.
        rate: requests a second; several are steps, one after the other.
        seconds: that the load lasts, at each rate.
        request_timeout: seconds from the planned time after which a request has failed.
        connections: open at once at most, to each host; a request that finds none waits, and its latency counts on.
        allow_remote: load hosts that are not this one, too. Only do so with a server that is yours.
        ca: file of the certificates to trust, instead of the system's.
        stop: when it is set, no more is sent, and the report says what was found until then.
        watch: called with the engine when the load begins.

    Raises:
        UserError: a target or a rate is not right, a host is unknown, or not this one and `allow_remote` is not given.
    """
    chosen = _targets(targets)
    if request_timeout <= 0 or connections < 1:
        raise WrongUse("a timeout is more than 0 s, and there is at least 1 connection")
    plan = phases(rate, seconds)
    trusted, most, ledger = _trusted(ca), min(connections, _files()), _Ledger()

    async def pool(origin: Origin) -> Pool:
        tls = (trusted, origin.host) if origin.scheme == "https" else None
        return Pool(await resolved(origin, allow_remote), ledger, most=most, timeout=request_timeout, tls=tls)

    pools = {origin: await pool(origin) for origin in {target.origin for target in chosen}}
    ledger.engine = engine = Engine(chosen, plan, pools, request_timeout)
    if watch is not None:
        watch(engine)
    try:
        await _run(engine, stop)
    finally:
        await _close(pools.values())
    return made(plan, engine.windows, engine.late, engine.began)


def _targets(given: str | Target | Sequence[Target]) -> Sequence[Target]:
    found = [Target(given)] if isinstance(given, str) else [given] if isinstance(given, Target) else given
    if not found:
        raise WrongUse("there is nothing to send: the list of targets is empty")
    return found


class _Ledger:
    """Hands outcomes on to the engine, which is made after the pools."""

    engine: Engine

    def answered(self, shot: object, status: int, received: int) -> None:
        self.engine.answered(shot, status, received)  # type: ignore[arg-type]

    def failed(self, shot: object, why: str) -> None:
        self.engine.failed(shot, why)  # type: ignore[arg-type]


async def _close(pools: Iterable[Pool]) -> None:
    for each in pools:
        await each.close()


async def _run(engine: Engine, stop: Stop | None) -> None:
    running = asyncio.ensure_future(engine.run())
    if stop is None:
        await running
        return
    stopped = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait([running, stopped], return_when=asyncio.FIRST_COMPLETED)
        if not running.done():
            engine.stop()
            await asyncio.wait([running], timeout=UNANSWERED)
    finally:
        stopped.cancel()
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def resolved(origin: Origin, allow_remote: bool) -> list[tuple[str, int]]:
    """The addresses of a host, looked up once: what was checked is what is loaded.

    Raises:
        UserError: it is unknown, or has an address that is not this machine's.
    """
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise UserError(f"the host {origin.host} is unknown") from None
    addresses = list(dict.fromkeys((str(address[0]), origin.port) for *_, address in found))
    if not allow_remote and not all(ipaddress.ip_address(host.partition("%")[0]).is_loopback for host, _ in addresses):
        raise UserError(
            f"{origin.host} is another machine: load only a server of yours, and say so with --allow-remote"
        )
    return addresses


def _trusted(ca: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca)
    except OSError as error:
        raise WrongUse(f"the certificates of {ca} cannot be read: {error.strerror or 'they are not PEM'}") from error


def _files() -> int:
    """Connections that this process may open; its soft limit of files goes up to the hard one, as Go's programs do."""
    try:
        import resource
    except ImportError:  # Windows, which has no such limit
        return CONNECTIONS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS + SPARE_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        goal = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (goal, hard))
            soft = goal
    return CONNECTIONS if soft == resource.RLIM_INFINITY else max(1, soft - SPARE_FILES)
