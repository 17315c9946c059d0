"""Hostile requests at a real server, over both faces: each gets an error that does not blame the server, and afterwards
the memory is what it was."""

from __future__ import annotations

import http.client
import json
import os
import random
import shutil
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import grpc
import psutil
import pytest

from integration.hostile_requests import MESSAGES, MIB, REQUESTS
from integration.processes import Server, free_port, serving

pytestmark = pytest.mark.integration
HERE = Path(__file__).parent
CHAOS = int(os.environ.get("MLPATTERNS_CHAOS", "1"))
ROUNDS = 20 * CHAOS**2  # of all requests: in `make chaos` more than 100,000
LIGHT = 100_000  # bytes: bombs and megabytes are above, and take longer than all the others together
GROWTH = 40 * MIB  # what a warm allocator may keep; one body that stayed would be 8 MiB, and there are dozens


@pytest.fixture(scope="module")
def grpc_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def server(grpc_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("hostile")
    shutil.copy(HERE / "app_for_tests.py", folder / "app.py")
    environ = {"MLPATTERNS_MAX_BODY_BYTES": str(8 * MIB), "MLPATTERNS_GRPC_PORT": str(grpc_port)}
    with serving(folder / "app.py", cwd=folder, environ=environ) as running:
        yield running


@pytest.fixture(scope="module")
def channel(server: Server, grpc_port: int) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(f"127.0.0.1:{grpc_port}", [("grpc.max_send_message_length", -1)]) as open_channel:
        yield open_channel


def refused(channel: grpc.Channel, path: str, body: bytes) -> grpc.RpcError:
    """How a call ended that must not be answered."""
    try:
        answer = channel.unary_unary(path)(body, timeout=20)
    except grpc.RpcError as error:
        return error
    raise AssertionError(f"it was answered: {answer[:200]!r}")


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
    for _ in range(120 * CHAOS):
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
            client.sendall(whole[: chances.randrange(1, len(whole))])
    assert server.ask("/predict", {"data": [[0, 0]]}) == (200, {"prediction": [0.25, 0.75]})


OWN = {  # the statuses of a mistake that is the caller's own
    grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.UNIMPLEMENTED,
}  # fmt: skip


@pytest.mark.parametrize("number", range(len(MESSAGES)))
def test_each_message_gets_a_status_of_its_own_and_a_sentence(channel: grpc.Channel, number: int) -> None:
    error = refused(channel, *MESSAGES[number])
    assert error.code() in OWN, error
    assert error.details()
    assert "Traceback" not in error.details()


def everything(server: Server, channel: grpc.Channel, most: int = 2**63) -> int:
    """All of it once, as far as it is not larger than `most` bytes; how many requests that was."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    requests = [entry for entry in REQUESTS if len(entry[1]) <= most]
    for path, body, headers in requests:
        if len(body) > 8 * MIB or body[:9] == b"\0" * 9:
            connection.close()  # a refused body may close the connection under the writer
        try:
            connection.request("POST", path, body, headers)
            connection.getresponse().read()
        except (ConnectionError, http.client.HTTPException):
            connection.close()
    connection.close()
    sent = [entry for entry in MESSAGES if len(entry[1]) <= most]
    for path, body in sent:
        refused(channel, path, body)
    return len(requests) + len(sent)


@pytest.mark.slow
def test_the_memory_comes_back(server: Server, channel: grpc.Channel, capsys: pytest.CaptureFixture[str]) -> None:
    def floor(rounds: int) -> int:
        """The least memory after any of so many rounds: the allocator gives back megabytes by leaps, a leak never."""
        least = memory(server)
        for _ in range(rounds):
            everything(server, channel)
            least = min(least, memory(server))
        return least

    everything(server, channel)
    before = floor(10)
    asked = sum(everything(server, channel, LIGHT if number % 10 else 2**63) for number in range(ROUNDS))
    after = floor(10)
    with capsys.disabled():
        print(f"\n{asked} hostile requests: {before // MIB} MiB before, {after // MIB} MiB after")  # noqa: T201
    assert after - before < GROWTH
    assert server.ask("/predict", {"data": [[0, 0]]}) == (200, {"prediction": [0.25, 0.75]})
    text = server.ask("/metrics")[1]
    assert "mlpatterns_requests_in_flight 1.0" in text, "the request for the metrics itself, and no other"
    assert 'status="500"' not in text
    assert 'status="INTERNAL"' not in text
