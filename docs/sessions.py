"""Sessions at a terminal: the commands of a pattern's page run as they are shown, and what they print is kept as text.

A recorded session is `$ COMMAND`, what it printed, and an empty line, for each command; lines that begin with `#` say
where and when it was recorded.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct

__all__ = ["PORT", "SOURCE", "Said", "environment", "free_port", "read_session", "record", "serving"]

PORT = 8000  # as it is written; a free one takes its place while a session is recorded
PATIENCE = 1200.0  # seconds for one command: a demo may train with PyTorch on a busy machine
SOURCE = Path(__file__).parents[1] / "src"


class Said(Struct, frozen=True):
    """One command and what it printed."""

    command: str
    output: str


def record(name: str, commands: list[str], run: str, ask: list[str], home: Path) -> str:
    """The text of a session: `commands`, then what is asked of the server `run`, then the demo of `name`.

    Args:
        run: the command of the server, or "" for none.
        home: what MLPATTERNS_HOME is; the session works in the folder that it is in.

    Raises:
        RuntimeError: a command failed, with what it printed.
    """
    port = free_port()
    environ = environment(home)
    said = [shown(command, environ, port) for command in commands]
    if run:
        with serving(run, environ, port):
            said.append(Said(run, ""))
            for command in ask:
                said.append(shown(_with_job(command, said[-1].output), environ, port))
    said.append(shown(f"mlpatterns demo {name}", environ, port))
    when = datetime.now(UTC).strftime("%d %B %Y").lstrip("0")
    version = ".".join(map(str, sys.version_info[:2]))
    head = f"# Recorded on {when} with Python {version} on {os.cpu_count()} CPUs.\n"
    return head + "\n".join(f"$ {each.command}\n{each.output}" for each in said)


def read_session(text: str) -> tuple[str, list[Said]]:
    """When and where a session was recorded, and what was said in it."""
    head, *parts = re.split(r"^\$ ", text, flags=re.MULTILINE)
    found = (part.partition("\n") for part in parts)
    return head.strip("# \n"), [Said(command, output.rstrip("\n")) for command, _, output in found]


def environment(home: Path) -> dict[str, str]:
    """The variables of a session: none of whoever records it, `mlpatterns` on the path, no colours, plain widths."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MLPATTERNS_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    return {**kept, "PATH": path, "PYTHONPATH": str(SOURCE), "MLPATTERNS_HOME": str(home), "COLUMNS": "100"}


def shown(command: str, environ: Mapping[str, str], port: int) -> Said:
    """Runs one command; paths and the port are shown as a reader has them.

    Raises:
        RuntimeError: it failed, or went on for too long.
    """
    home = Path(environ["MLPATTERNS_HOME"])
    words = ["bash", "-euo", "pipefail", "-c", command.replace(str(PORT), str(port))]
    try:
        done = subprocess.run(  # noqa: S603 - the commands of our own pages
            words, cwd=home.parent, env=environ, text=True, capture_output=True, timeout=PATIENCE, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"`{command}` did not end within {PATIENCE:g} s") from error
    if done.returncode:
        raise RuntimeError(f"`{command}` ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    text = done.stdout.replace("\r\n", "\n").replace(f"{home.parent}/", "").replace(str(port), str(PORT))
    return Said(command, text if text.endswith("\n") or not text else f"{text}\n")


@contextmanager
def serving(command: str, environ: Mapping[str, str], port: int) -> Iterator[None]:
    """A server that is ready, until the end of the block."""
    log = Path(environ["MLPATTERNS_HOME"]).parent / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - the same
            ["bash", "-c", command],  # noqa: S607
            cwd=log.parent, env={**environ, "MLPATTERNS_PORT": str(port)}, stdout=output, stderr=output,
            start_new_session=True,
        )  # fmt: skip
    try:
        until = time.monotonic() + PATIENCE
        while not _answers(f"http://127.0.0.1:{port}/health/ready") and not _answers(f"http://127.0.0.1:{port}/"):
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"`{command}` did not become ready:\n{log.read_text(encoding='utf-8')}")
            time.sleep(0.2)
        yield
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def free_port() -> int:
    """A port of five digits that is free now, so that no other number of an output is taken for it."""
    while True:
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            port: int = found.getsockname()[1]
        if port >= 10_000:
            return port


def _with_job(command: str, answer: str) -> str:
    """`command` with the job of the last answer where it asks for it."""
    return command.replace("{job_id}", json.loads(answer)["job_id"]) if "{job_id}" in command else command


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own server
            return bool(answer.status == 200)
    except OSError:
        return False
