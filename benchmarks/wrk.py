"""Load by wrk: one thread, and keep-alive connections that each send a request after each answer (a closed loop)."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

__all__ = ["CONNECTIONS", "Load", "Shot", "checked", "missing_wrk", "shoot"]

CONNECTIONS = 16
SCRIPT = Path(__file__).with_name("wrk.lua")


class Load(Struct, frozen=True):
    """One request, which is sent again and again on so many connections."""

    path: str
    body: bytes
    headers: Mapping[str, str]
    connections: int = CONNECTIONS


class Shot(Struct, frozen=True):
    """What a client saw in one turn; latencies in microseconds of all requests of the turn."""

    requests: int
    seconds: float
    p50: float
    p99: float
    refused: int
    broken: int
    cpu: float = 0.0
    """Microseconds of CPU time, user and system, that the server spent for each request."""

    @property
    def rate(self) -> float:
        """Requests answered a second."""
        return self.requests / self.seconds


def missing_wrk() -> str | None:
    """The sentence that says how to get wrk, or None if it is here."""
    return None if shutil.which("wrk") else "wrk is missing; install it with `apt install wrk` or `brew install wrk`"


def shoot(url: str, load: Load, seconds: int, folder: Path) -> Shot:
    """Loads the server at `url` for `seconds`.

    Raises:
        RuntimeError: wrk saw an answer other than 2xx or 3xx, or a connection that broke or timed out.
    """
    body = folder / "body"
    body.write_bytes(load.body)
    headers = "".join(f"{name}: {value}\n" for name, value in load.headers.items())
    found = subprocess.run(
        ["wrk", "-t1", f"-c{load.connections}", f"-d{seconds}", "--timeout", "10s", "-s", str(SCRIPT), url + load.path],
        env={**os.environ, "WRK_BODY": str(body), "WRK_HEADERS": headers},
        capture_output=True,
        text=True,
        check=True,
        timeout=seconds + 30,
    )
    return checked(url + load.path, msgspec.json.decode(found.stdout.splitlines()[-1], type=Shot))


def checked(where: str, shot: Shot) -> Shot:
    """The shot, if every request of it was answered well.

    Raises:
        RuntimeError: one was refused or its connection broke.
    """
    if shot.refused or shot.broken:
        raise RuntimeError(f"{where}: of {shot.requests} requests {shot.refused} were refused, and {shot.broken} "
                           "connections broke")  # fmt: skip
    return shot
