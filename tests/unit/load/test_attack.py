"""The open loop: what is sent when, what counts as what, and that a stall is seen by all who would have waited."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from certificates import self_signed
from load_servers import OK, Answering, always_ok, server
from mlpatterns.load import Report, Target, attack
from mlpatterns.testing import free_port
from mlpatterns.user_errors import UserError


def loaded(answer: Answering = always_ok, *, method: str = "GET", **options: Any) -> Report:
    async def work() -> Report:
        async with server(answer) as url:
            return await attack(Target(url, method), **({"rate": 200, "seconds": 0.1} | options))

    return asyncio.run(work())


def test_as_many_are_sent_as_were_planned_and_all_are_answered() -> None:
    found = loaded(rate=500, seconds=0.4)
    assert (found.requests, found.status_codes, found.success, found.errors) == (200, {"200": 200}, 1.0, {})
    assert found.bytes_in == 400
    assert found.planned_rate == 500


def test_the_schedule_does_not_follow_the_answers() -> None:
    """No answer comes before the last request was sent."""
    waiting, all_sent = 0, asyncio.Event()

    async def late(request: bytes) -> bytes:
        nonlocal waiting
        waiting += 1
        if waiting == 20:
            all_sent.set()
        await all_sent.wait()
        return OK

    found = loaded(late, rate=100, seconds=0.2)
    assert (found.requests, found.success) == (20, 1.0)


@pytest.mark.alone  # it compares latencies
def test_a_stall_is_counted_from_the_planned_time() -> None:
    """Nothing is answered in the last tenth of each second: of all latencies 10 % are even between 0 and 0.1 s, so
    that 99 % are at most 0.09 s."""
    began = 0.0

    async def stalling(request: bytes) -> bytes:
        nonlocal began
        now = asyncio.get_running_loop().time()
        began = began or now
        into = (now - began) % 1.0
        if into >= 0.9:
            await asyncio.sleep(1.0 - into)
        return OK

    found = loaded(stalling, rate=400, seconds=1.0)
    # A busy machine adds to it; a closed loop would have next to nothing.
    assert found.latencies.p99 >= 0.085
    assert found.latencies.max >= 0.095


@pytest.mark.alone  # it compares latencies
def test_a_bounded_number_of_connections_hides_no_latency() -> None:
    """One connection and 10 ms an answer are 100 a second; asked 200, the last waits as long as the load lasted."""

    async def slow(request: bytes) -> bytes:
        await asyncio.sleep(0.01)
        return OK

    found = loaded(slow, rate=200, seconds=0.2, connections=1)
    assert found.requests == 40
    assert found.latencies.max > 0.15


def test_steps_are_reported_one_by_one() -> None:
    found = loaded(rate=[50, 100, 200], seconds=0.1)
    assert [(step.planned_rate, step.requests) for step in found.steps] == [(50, 5), (100, 10), (200, 20)]
    assert found.requests == 35


@pytest.mark.parametrize(
    ("answer", "code", "error"),
    [
        (b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", "503", "503 Service Unavailable"),
        (b"HTTP/1.1 799 Odd\r\nContent-Length: 0\r\n\r\n", "799", "799"),
        (b"SSH-2.0-OpenSSH\r\n", "0", "the answer is not HTTP/1.1"),
        (b"", "0", "the server closed the connection before its answer was complete"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\nok",
            "0",
            "the server closed the connection before its answer was complete",
        ),
    ],
)
def test_what_is_no_good_answer_is_in_the_error_set(answer: bytes, code: str, error: str) -> None:
    async def given(request: bytes) -> bytes:
        return answer

    found = loaded(given)
    assert (found.status_codes, found.errors, found.success) == ({code: 20}, {error: 20}, 0.0)


@pytest.mark.parametrize(
    ("answer", "method"),
    [
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", "GET"),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok", "GET"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n", "GET"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, "POST"),
    ],
)
def test_every_way_to_end_a_body_is_understood(answer: bytes, method: str) -> None:
    async def given(request: bytes) -> bytes:
        return answer

    found = loaded(given, method=method)
    assert (found.status_codes, found.bytes_in) == ({"200": 20}, 40)


@pytest.mark.parametrize("answer", [b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.1 304 Not Modified\r\n\r\n"])
def test_an_answer_without_a_body_is_whole(answer: bytes) -> None:
    async def given(request: bytes) -> bytes:
        return answer

    assert loaded(given).success == 1.0


def test_a_head_request_gets_no_body() -> None:
    async def given(request: bytes) -> bytes:
        return b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"

    found = loaded(given, method="HEAD")
    assert (found.status_codes, found.bytes_in) == ({"200": 20}, 0)


def test_who_waits_is_not_sent_over_a_connection_that_ends() -> None:
    """One connection at a time, each of which ends with its answer to a HEAD: the next waits for one of its own."""

    async def given(request: bytes) -> bytes:
        await asyncio.sleep(0.005)
        return b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"

    assert loaded(given, method="HEAD", rate=1000, seconds=0.02, connections=1).status_codes == {"200": 20}


def test_an_answer_that_does_not_come_is_a_failure_after_the_timeout() -> None:
    async def never(request: bytes) -> bytes:
        await asyncio.sleep(60)
        return OK

    found = loaded(never, request_timeout=0.1)
    assert found.errors == {"no answer within the timeout": 20}
    assert found.latencies.min >= 0.1


def test_nobody_listens() -> None:
    found = asyncio.run(attack(f"http://127.0.0.1:{free_port()}", rate=200, seconds=0.1))
    assert (found.status_codes, found.errors) == ({"0": 20}, {"connection refused": 20})


def test_targets_take_turns() -> None:
    seen: list[bytes] = []

    async def noted(request: bytes) -> bytes:
        seen.append(request.partition(b" HTTP/1.1")[0] + b" " + request.rpartition(b"\r\n")[2])
        return OK

    async def work(url: str) -> None:
        await attack([Target(url + "a"), Target(url + "b?c=1", "POST", (), b"x")], rate=100, seconds=0.04)

    async def main() -> None:
        async with server(noted) as url:
            await work(url)

    asyncio.run(main())
    assert sorted(seen) == [b"GET /a ", b"GET /a ", b"POST /b?c=1 x", b"POST /b?c=1 x"]


def test_a_load_that_is_stopped_reports_what_it_found() -> None:
    async def main() -> Report:
        stop = asyncio.Event()
        asyncio.get_running_loop().call_later(0.1, stop.set)
        async with server() as url:
            return await attack(url, rate=100, seconds=60, stop=stop)

    found = asyncio.run(main())
    assert 1 <= found.requests < 1000
    assert found.attack < 30


def test_https_needs_a_certificate_that_is_trusted(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)

    async def main() -> tuple[Report, Report]:
        async with server(tls=tls) as url:
            trusted = await attack(url, rate=100, seconds=0.1, ca=certificate)
            return trusted, await attack(url, rate=100, seconds=0.1)

    trusted, unknown = asyncio.run(main())
    assert (trusted.status_codes, trusted.errors) == ({"200": 10}, {})
    assert unknown.errors == {"the server's certificate is not trusted: self-signed certificate": 10}
    for file in (key, tmp_path / "absent.pem"):
        with pytest.raises(UserError, match="cannot be read"):
            asyncio.run(attack("https://127.0.0.1:1/", rate=1, seconds=1, ca=file))


@pytest.mark.alone  # who is late by 15 ms meets a connection that is just being closed
def test_a_connection_that_the_server_closes_between_two_requests_costs_none() -> None:
    """The server ends each connection 5 ms after its answer; there are 20 ms to the next request."""
    ended = 0

    async def main() -> Report:
        nonlocal ended

        class Ending(asyncio.Protocol):
            def connection_made(self, transport: Any) -> None:
                self.transport = transport

            def data_received(self, data: bytes) -> None:
                self.transport.write(OK)
                asyncio.get_running_loop().call_later(0.005, self.transport.close)

            def connection_lost(self, exc: Exception | None) -> None:
                nonlocal ended
                ended += 1

        listening = await asyncio.get_running_loop().create_server(Ending, "127.0.0.1", 0)
        async with listening:
            return await attack(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/", rate=50, seconds=0.2)

    assert asyncio.run(main()).status_codes == {"200": 10}
    assert ended >= 9


def test_a_load_that_is_cancelled_leaves_no_task_and_no_connection() -> None:
    async def main() -> set[Any]:
        async with server() as url:
            load = asyncio.create_task(attack(url, rate=100, seconds=60))
            await asyncio.sleep(0.1)
            load.cancel()
            await asyncio.wait([load])
            await asyncio.sleep(0.01)
            return asyncio.all_tasks() - {asyncio.current_task()}

    assert asyncio.run(main()) == set()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://192.0.2.1:8000/", "another machine"),
        ("http://[2001:db8::1]/", "another machine"),
        ("http://no-such-host.invalid/", "unknown"),
        ("ftp://127.0.0.1/", "not an address"),
        ("http://127.0.0.1:99999/", "not an address"),
        ("http://127.0.0.1/\r\nX: y", "not an address"),
        ("http://user:pass@127.0.0.1/", "not an address"),
    ],
)
def test_only_this_machine_is_loaded_and_only_by_http(url: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        asyncio.run(attack(url, rate=1, seconds=1))


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf"), [], [100, 0]])
def test_a_rate_is_a_positive_number(rate: float | Sequence[float]) -> None:
    with pytest.raises(UserError, match="rate"):
        asyncio.run(attack("http://127.0.0.1:1/", rate=rate, seconds=1))


def test_there_must_be_something_to_send() -> None:
    with pytest.raises(UserError, match="nothing to send"):
        asyncio.run(attack([], rate=1, seconds=1))
