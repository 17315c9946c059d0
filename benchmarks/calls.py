"""Generates load over gRPC in a separate process, as `wrk.py` does over HTTP."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
from msgspec import Struct

from benchmarks.grpc_connection import ask_once
from benchmarks.messages import INFER
from benchmarks.wrk import Shot, checked

__all__ = ["Call", "ask_call", "shoot_calls"]

ROOT = Path(__file__).resolve().parent.parent


class Call(Struct, frozen=True):
    """One ModelInfer, which is called again and again, on the port that the server listens on for gRPC."""

    message: bytes
    port: int


def ask_call(call: Call) -> tuple[int, bytes]:
    """(200, the answer's message), or (500, nothing) if the server refused.

    Raises:
        OSError: nobody listens, or the connection broke.
    """
    answer = ask_once(call.port, INFER, call.message)
    return (500, b"") if answer is None else (200, answer)


def shoot_calls(call: Call, seconds: int, folder: Path) -> Shot:
    """Loads the server for `seconds`.

    Raises:
        RuntimeError: a call was refused, or broke.
    """
    file = folder / "message"
    file.write_bytes(call.message)
    found = subprocess.run(
        [sys.executable, "-m", "benchmarks.grpc_load", str(call.port), INFER, str(file), str(seconds)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=seconds + 30,
    )
    return checked(f"port {call.port}", msgspec.json.decode(found.stdout.splitlines()[-1], type=Shot))
