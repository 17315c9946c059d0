"""Hostile requests at a real server: each gets its error, none a 500, and afterwards the memory is what it was."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import random
import shutil
import socket
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest

from integration.processes import Server, serving

pytestmark = pytest.mark.integration
HERE = Path(__file__).parent
ROUNDS = 3 * int(os.environ.get("MLPATTERNS_CHAOS", "1"))
MIB = 1024 * 1024
GROWTH = 40 * MIB  # what a warm allocator may keep; one body that stayed would be 8 MiB, and there are dozens

OIP = {"inputs": [{"name": "input", "shape": [1, 2], "datatype": "FP32", "data": [0, 0]}]}


def oip(**changes: Any) -> bytes:
    return json.dumps({"inputs": [{**OIP["inputs"][0], **changes}]}).encode()


def binary(size: Any, body: bytes = b"\0" * 8, **changes: Any) -> tuple[bytes, dict[str, str]]:
    tensor = {"name": "input", "shape": [1, 2], "datatype": "FP32", "parameters": {"binary_data_size": size}, **changes}
    head = json.dumps({"inputs": [tensor]}).encode()
    return head + body, {"Inference-Header-Content-Length": str(len(head))}


INFER = "/v2/models/sleeper/infer"
PACKED, BOMB = {"content-encoding": "gzip"}, gzip.compress(b"\0" * 200 * MIB, 9)
REQUESTS: list[tuple[str, bytes, dict[str, str]]] = [
    ("/predict", b"", {}),
    ("/predict", b"{", {}),
    ("/predict", b"[" * 100_000, {}),
    ("/predict", b'{"data": ' + b"[" * 2000 + b"]" * 2000 + b"}", {}),
    ("/predict", b'{"data": [[NaN, 1]]}', {}),
    ("/predict", b'{"data": [[1e999, 1]]}', {}),
    ("/predict", b'{"data": [[1, 2], [3]]}', {}),
    ("/predict", b'{"data": [["1", 2]]}', {}),
    ("/predict", b"\xff\xfe", {}),
    ("/predict", b"\0" * 9 * MIB, {}),
    ("/predict", BOMB, PACKED),
    ("/predict", zlib.compress(b"\0" * 200 * MIB), {"content-encoding": "deflate"}),
    ("/predict", b"no gzip", PACKED),
    ("/predict", b"x", {"content-encoding": "br"}),
    ("/predict", b'{"data": [[0, 0]]}', {"x-request-timeout-ms": "-1"}),
    ("/predict", b'{"data": [[0, 0]]}', {"x-padding": "x" * 50_000}),
    (INFER, b"{}", {}),
    (INFER, oip(name="other"), {}),
    (INFER, oip(datatype="FP31"), {}),
    (INFER, oip(datatype="fp32"), {}),
    (INFER, oip(shape=[1, -2]), {}),
    (INFER, oip(shape=[2**62, 2**62]), {}),
    (INFER, oip(shape=[1] * 1000), {}),
    (INFER, oip(data=[0, "0"]), {}),
    (INFER, oip(data=[0]), {}),
    (INFER, BOMB, PACKED),
    (INFER, *binary(-1)),
    (INFER, *binary(2**63)),
    (INFER, *binary(7)),
    (INFER, *binary(True)),
    (INFER, *binary(8, b"\0" * 9)),
    (INFER, *binary(8, b"\0" * 4)),
    (INFER, b"{}", {"Inference-Header-Content-Length": "99999999999999999999"}),
    (INFER, b"{}", {"Inference-Header-Content-Length": "-1"}),
    ("/v2/models/../../etc/passwd/infer", b"{}", {}),
    ("/v2/models/none/infer", b"{}", {}),
    ("/health", b"x" * MIB, {}),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("hostile")
    shutil.copy(HERE / "app_for_tests.py", folder / "app.py")
    with serving(folder / "app.py", cwd=folder, environ={"MLPATTERNS_MAX_BODY_BYTES": str(8 * MIB)}) as running:
        yield running


def memory(server: Server) -> int:
    return int(psutil.Process(server.process.pid).memory_info().rss)


@pytest.mark.parametrize("number", range(len(REQUESTS)))
def test_each_gets_an_error_of_its_own_and_never_a_500(server: Server, number: int) -> None:
    path, body, headers = REQUESTS[number]
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)) as connection:
        connection.request("POST", path, body, headers)
        response = connection.getresponse()
        status, answer = response.status, json.loads(response.read())
    assert 400 <= status < 500, answer
    assert set(answer) == {"error"}
    assert "Traceback" not in answer["error"]
    assert "/" not in answer["error"].replace("/v2/models", ""), "an error says nothing of paths"


@pytest.mark.slow
def test_those_who_leave_in_the_middle_take_nothing_with_them(server: Server) -> None:
    whole = b'POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n{"data": [[0.01, 0]]}'
    chances = random.Random(0)
    for _ in range(40 * ROUNDS):
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
            client.sendall(whole[: chances.randrange(1, len(whole))])
    assert server.ask("/predict", {"data": [[0, 0]]}) == (200, {"prediction": [0.25, 0.75]})


@pytest.mark.slow
def test_the_memory_comes_back(server: Server) -> None:
    def everything() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        for path, body, headers in REQUESTS:
            if len(body) > 8 * MIB or body[:9] == b"\0" * 9:
                connection.close()  # a refused body may close the connection under the writer
            try:
                connection.request("POST", path, body, headers)
                connection.getresponse().read()
            except (ConnectionError, http.client.HTTPException):
                connection.close()
        connection.close()

    def floor(rounds: int) -> int:
        """The least memory after any of so many rounds: the allocator gives back megabytes by leaps, a leak never."""
        least = memory(server)
        for _ in range(rounds):
            everything()
            least = min(least, memory(server))
        return least

    everything()
    before = floor(10)
    for _ in range(10 * ROUNDS):
        everything()
    assert floor(10) - before < GROWTH
    assert server.ask("/predict", {"data": [[0, 0]]}) == (200, {"prediction": [0.25, 0.75]})
    text = server.ask("/metrics")[1]
    assert "mlpatterns_in_flight 1.0" in text, "the request for the metrics itself, and no other"
    assert 'status="500"' not in text
