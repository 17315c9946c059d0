"""`attack`: sends load to a server at one constant rate, or at several in sequence, and reports the results."""

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
from mlpatterns.load.report import Report, make_report
from mlpatterns.load.schedule import phases
from mlpatterns.load.target import Origin, Target
from mlpatterns.user_errors import UserError, WrongUse

__all__ = ["StopSignal", "attack"]

CONNECTIONS = 10_000  # the most open connections to each host; fewer if the process may have fewer open files
SPARE_FILES = 100  # open files for other purposes
UNANSWERED = 2.0  # seconds that an interrupted load waits for outstanding answers


class StopSignal(Protocol):
    """A signal that ends a load early, such as an asyncio.Event."""

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
    stop: StopSignal | None = None,
    watch: Callable[[Engine], None] | None = None,
) -> Report:
    """Sends requests at a rate that does not depend on the answers (an open loop), and waits for all answers.

    A latency begins at the planned time of the request. So if the server stalls, the latencies of all requests that are
    planned in that time show it (no coordinated omission). Connections are reused, and opened when they are needed.

    Args:
        targets: a URL for GET requests, or the requests to send, in order and repeated.
        rate: requests per second; several rates are steps, one after the other.
        seconds: the duration of the load at each rate.
        request_timeout: seconds from the planned time after which a request has failed.
        connections: the most open connections to each host. The wait for a free one is part of the latency.
        allow_remote: allow hosts other than this machine. Use it only with your own servers.
        ca: a file of trusted certificates, instead of the system's.
        stop: when it is set, sending stops, and the report contains the results so far.
        watch: called with the engine when the load begins.

    Raises:
        UserError: a target or a rate is not valid, a host is unknown, or it is remote and `allow_remote` is false.
    """
    chosen = _targets(targets)
    if request_timeout <= 0 or connections < 1:
        raise WrongUse("the timeout must be more than 0 s, and the number of connections at least 1")
    plan = phases(rate, seconds)
    trusted, most, relay = _trusted(ca), min(connections, _files()), _OutcomeRelay()

    async def pool(origin: Origin) -> Pool:
        tls = (trusted, origin.host) if origin.scheme == "https" else None
        return Pool(await resolved(origin, allow_remote), relay, most=most, timeout=request_timeout, tls=tls)

    pools = {origin: await pool(origin) for origin in {target.origin for target in chosen}}
    relay.engine = engine = Engine(chosen, plan, pools, request_timeout)
    if watch is not None:
        watch(engine)
    try:
        await _run(engine, stop)
    finally:
        await _close(pools.values())
    return make_report(plan, engine.windows, engine.late, engine.began)


def _targets(given: str | Target | Sequence[Target]) -> Sequence[Target]:
    found = [Target(given)] if isinstance(given, str) else [given] if isinstance(given, Target) else given
    if not found:
        raise WrongUse("there is nothing to send: the list of targets is empty")
    return found


class _OutcomeRelay:
    """Passes outcomes to the engine, which is created after the pools."""

    engine: Engine

    def answered(self, request: object, status: int, received: int) -> None:
        self.engine.answered(request, status, received)  # type: ignore[arg-type]

    def failed(self, request: object, why: str) -> None:
        self.engine.failed(request, why)  # type: ignore[arg-type]


async def _close(pools: Iterable[Pool]) -> None:
    for each in pools:
        await each.close()


async def _run(engine: Engine, stop: StopSignal | None) -> None:
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
    """The addresses of a host. They are looked up once, so that the load uses exactly the addresses that were checked.

    Raises:
        UserError: the host is unknown, or an address is not of this machine and `allow_remote` is false.
    """
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise UserError(f"the host {origin.host} is unknown") from None
    addresses = list(dict.fromkeys((str(address[0]), origin.port) for *_, address in found))
    if not allow_remote and not all(ipaddress.ip_address(host.partition("%")[0]).is_loopback for host, _ in addresses):
        raise UserError(
            f"{origin.host} is another machine: load only a server of your own, and confirm it with --allow-remote"
        )
    return addresses


def _trusted(ca: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca)
    except OSError as error:
        raise WrongUse(f"the certificates of {ca} cannot be read: {error.strerror or 'they are not PEM'}") from error


def _files() -> int:
    """How many connections this process may open. It raises its soft limit of open files, as programs in Go do."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return CONNECTIONS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS + SPARE_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        goal = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (goal, hard))
            soft = goal
    return CONNECTIONS if soft == resource.RLIM_INFINITY else max(1, soft - SPARE_FILES)
