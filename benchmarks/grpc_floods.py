"""Floods of HTTP/2 frames, each beside a client that asks as it should.

*Claim.* While a client without a key floods a worker's gRPC port for 20 s, another client's p50 stays under 50 ms,
over gRPC and over HTTP, and the worker's memory comes back.

*Method.* One worker, and one flood from a process of its own on this machine: four connections, or 1,000 where clients
are silent, or 20 where they send slowly. Beside it a ModelInfer with one row and a `GET /health/live` are sent twenty
times a second each, on an idle connection if there is one, whether or not those before are answered: a server that
stands still for a second is seen by twenty requests, not by one. The first line of the table is without any flood.
Memory is the worker's resident set: before the flood, at most during it, and 25 s later; its CPU is in cores. Clients
that do not read or send stay for 90 s, since the server is patient with each of them for 30 s.

*What it does not show.* How fast a flood could be: sender, worker and clients share the same cores, so that a p50 is
also that of waiting for a core. The worker's CPU tells the two apart.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

import msgspec
import numpy as np
from msgspec import Struct

from benchmarks.grpc_flood import Tally
from benchmarks.grpc_flood_clients import GrpcClient, HttpClient
from benchmarks.grpc_flood_frames import FLOODS
from benchmarks.messages import request
from benchmarks.records import Goal, Plan, Report, Table
from benchmarks.servers import TREE, Server, clean_environment, free_port, ours, serving

__all__ = ["run"]

SECONDS, CONNECTIONS = 20, 4
MOST_P50, APART = 0.050, 0.05  # seconds: what an honest client may see, and from request to request
SLOW_SECONDS = 90  # for clients that do not read or send, since the server is patient with them for 30 s
MOST_WAITING = 200  # requests of each kind: as many as are due while one waits as long as a client does
CALM = 25  # seconds after a flood, in which the server gives memory back
MOST_KEPT = 100.0  # megabytes
LARGE = 2_500_000  # floats: an answer of 10 MB
T = TypeVar("T")
COLUMNS = ("flood", "frames/s", "gRPC p50", "gRPC max", "HTTP p50", "HTTP max", "failed", "CPU", "RSS before", "most",
           "after", "how its connections ended")  # fmt: skip
QUICK = ("rapid resets",)
APP = """
import numpy as np
from mlpatterns import PythonModel, TensorSpec, serve

def wide(_, inputs):
    return {"output": np.zeros((len(inputs["input"]), int(inputs["input"][0, 0])), np.float32)}

app = serve(lambda: PythonModel(lambda: None, wide, name="wide", inputs=[TensorSpec("input", "FP32", (-1, 4))],
                                outputs=[TensorSpec("output", "FP32", (-1, -1))]))
"""


class Seen(Struct):
    """What one flood did. Latencies are seconds, memory is megabytes, `cpu` is the seconds that the worker worked."""

    grpc: list[float]
    http: list[float]
    failed: int
    seconds: int
    cpu: float
    before: float
    most: float
    after: float
    tally: Tally


def run(plan: Plan, folder: Path) -> Report:
    """Every flood against a server of its own, so that none meets what another left."""
    (folder / "app.py").write_text(APP)
    (folder / "large").write_bytes(_request(LARGE))
    names = ("", *(QUICK if plan.quick else FLOODS))
    seen = {name: _under(name, _seconds(name, plan), folder, quick=plan.quick) for name in names}
    worst = max(max(median(one.grpc), median(one.http)) for one in seen.values())
    kept = max(one.after - one.before for one in seen.values())
    return Report(
        goals=(
            Goal("p50 of an honest client, worst flood", "< 50 ms", f"{worst * 1000:.1f} ms", worst < MOST_P50),
            Goal("memory kept after a flood, worst", "< 100 MB", f"{kept:.0f} MB", kept < MOST_KEPT),
        ),
        tables=(Table("floods of HTTP/2 frames, 1 worker", COLUMNS, tuple(_row(*pair) for pair in seen.items())),),
        raw={"seen": {name: _figures(one) for name, one in seen.items()}},
    )


def _figures(seen: Seen) -> dict[str, Any]:
    """What is kept of a flood: of thousands of latencies their number and quantiles, in seconds."""
    kept: dict[str, Any] = msgspec.to_builtins(seen)
    for face in ("grpc", "http"):
        found = sorted(kept[face])
        places = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
        quantiles = {key: found[min(len(found) - 1, int(share * len(found)))] for key, share in places.items()}
        kept[face] = {"requests": len(found), **quantiles}
    return kept


def _seconds(name: str, plan: Plan) -> int:
    return 2 if plan.quick else SLOW_SECONDS if "slow" in name else SECONDS


def _row(name: str, seen: Seen) -> tuple[str, ...]:
    latencies = (f"{1000 * value:.1f} ms" for found in (seen.grpc, seen.http) for value in (median(found), max(found)))
    memory = (f"{value:.0f} MB" for value in (seen.before, seen.most, seen.after))
    cpu = f"{seen.cpu / seen.seconds:.2f}"
    ends = ", ".join(f"{count} x {end}" for end, count in seen.tally.ends.items())
    return name or "none", f"{seen.tally.frames / seen.seconds:,.0f}", *latencies, str(seen.failed), cpu, *memory, ends


def _under(name: str, seconds: int, folder: Path, *, quick: bool) -> Seen:
    """What honest clients see of a server during one flood; of none if `name` is empty."""
    port = free_port()
    with serving(ours("app.py", "--grpc-port", str(port)), "/health/ready", folder) as server:
        _Asking(server, port).during(lambda: time.sleep(1))  # what is made at the first requests
        before, worked = _memory(server), _worked(server)
        asking = _Asking(server, port)
        tally = asking.during(lambda: _flood(name, port, seconds, folder))
        worked = _worked(server) - worked
        time.sleep(1 if quick else CALM)
        return Seen(
            asking.grpc, asking.http, asking.failed, seconds, worked, before, asking.most_memory, _memory(server), tally
        )


class _Asking:
    """Two clients that ask as they should, and a look at the server's memory now and then."""

    def __init__(self, server: Server, port: int) -> None:
        self._server, self._port = server, port
        self.grpc, self.http = list[float](), list[float]()
        self.failed, self.most_memory = 0, 0.0
        self._over = threading.Event()

    def during(self, work: Callable[[], T]) -> T:
        """Asks while `work` is done; its result."""
        grpc, http = partial(GrpcClient, self._port, _request(1)), partial(HttpClient, self._server.port)
        threads = [
            threading.Thread(target=self._ask, args=(grpc, self.grpc)),
            threading.Thread(target=self._ask, args=(http, self.http)),
            threading.Thread(target=self._watch),
        ]
        for thread in threads:
            thread.start()
        try:
            return work()
        finally:
            self._over.set()
            for thread in threads:
                thread.join()

    def _ask(self, connect: Callable[[], GrpcClient | HttpClient], latencies: list[float]) -> None:
        """Asks when it is time, whether or not what was asked before is answered; on a connection that is idle."""
        idle: list[GrpcClient | HttpClient] = []

        def ask(due: float) -> None:
            try:
                client = idle.pop()
            except IndexError:
                client = connect()
            self.failed += not client.ask()
            latencies.append(time.perf_counter() - due)
            idle.append(client)

        with ThreadPoolExecutor(MOST_WAITING) as pool:
            due = time.perf_counter()
            while not self._over.wait(max(0.0, due - time.perf_counter())):
                pool.submit(ask, due)
                due += APART
        for client in idle:
            client.close()

    def _watch(self) -> None:
        while not self._over.wait(0.2):
            self.most_memory = max(self.most_memory, _memory(self._server))


def _memory(server: Server) -> float:
    """Megabytes of all its processes."""
    return float(sum(process.memory_info().rss for process in server.family())) / 1e6


def _worked(server: Server) -> float:
    """Seconds of CPU that its processes have used."""
    return float(sum(sum(process.cpu_times()[:2]) for process in server.family()))


def _request(width: int) -> bytes:
    return request("wide", "input", np.array([[width, 0, 0, 0]], np.float32), "output")


def _flood(name: str, port: int, seconds: int, folder: Path) -> Tally:
    if not name:
        time.sleep(seconds)
        return Tally()
    command = (sys.executable, "-m", "benchmarks.grpc_flood", name, str(port), str(seconds), str(CONNECTIONS),
               str(folder / "large"))  # fmt: skip
    found = subprocess.run(command, env={**clean_environment(), "PYTHONPATH": TREE}, capture_output=True, check=True,
                           timeout=seconds + 60)  # fmt: skip
    return msgspec.json.decode(found.stdout.splitlines()[-1], type=Tally)
