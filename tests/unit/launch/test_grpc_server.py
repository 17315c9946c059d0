"""The gRPC server of one process: its life, where no signal is sent and no process started."""

from __future__ import annotations

import asyncio
import struct
from pathlib import Path

import grpc
import pytest

from mlpatterns.launch import grpc_server
from mlpatterns.launch.grpc_server import GrpcServer
from mlpatterns.launch.listening import Ports
from mlpatterns.oip.grpc_messages import SERVICE
from mlpatterns.server.app import serve
from mlpatterns.server.grpc.streams import HEALTH_SERVICE
from mlpatterns.settings import Settings
from mlpatterns.user_errors import SettingsError
from unit.server.doubles import iris

SETTINGS = Settings(port=0, grpc_port=0)
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))  # the greeting, with no setting


def test_a_stop_before_the_start_is_made_good_after_it() -> None:
    async def main() -> None:
        ports, app = Ports(SETTINGS), serve(iris, settings=SETTINGS)
        assert ports.grpc
        server = GrpcServer(app, SETTINGS, ports.grpc)
        server.stop()
        async with app.running():
            await server.start()
            async with grpc.aio.insecure_channel(f"127.0.0.1:{ports.grpc}") as channel:
                assert await channel.unary_unary(f"/{SERVICE}/ServerLive")(b"") == b"\x08\x01"
                await server.stopped()
                with pytest.raises(grpc.aio.AioRpcError):
                    await channel.unary_unary(f"/{SERVICE}/ServerLive")(b"", timeout=5)
        ports.close()

    asyncio.run(main())


@pytest.mark.parametrize("text", [None, "no certificate"])
def test_a_certificate_that_cannot_be_read_is_one_sentence(text: str | None, tmp_path: Path) -> None:
    file = tmp_path / "file.pem"
    if text is not None:
        file.write_text(text)
    settings = Settings(port=0, grpc_port=0, tls_certificate=file, tls_key=file)

    async def main() -> None:
        app = serve(iris, settings=settings)
        async with app.running():
            with pytest.raises(SettingsError, match="tls_certificate"):
                await GrpcServer(app, settings, 1).start()

    asyncio.run(main())


@pytest.mark.slow
def test_a_client_that_asks_often_whether_the_server_is_there_is_kept() -> None:
    """gRPC's own default ends the connection at the third ping, and a client pings once a second at most."""
    pinging = [("grpc.keepalive_time_ms", 1000), ("grpc.http2.max_pings_without_data", 0)]

    async def main() -> None:
        ports, app = Ports(SETTINGS), serve(iris, settings=SETTINGS)
        server = GrpcServer(app, SETTINGS, ports.grpc or 0)
        async with app.running(), grpc.aio.insecure_channel(f"127.0.0.1:{ports.grpc}", pinging) as channel:
            await server.start()
            watch = channel.unary_stream(f"/{HEALTH_SERVICE}/Watch")(b"")
            await watch.read()
            ended = asyncio.ensure_future(watch.read())
            assert await asyncio.wait([ended], timeout=5) == (set(), {ended})
            await server.stopped()
            await ended
        ports.close()

    asyncio.run(main())


def test_the_ports_are_told_and_a_worker_takes_those_of_its_supervisor() -> None:
    ports = Ports(SETTINGS)
    try:
        assert str(ports).startswith("http://127.0.0.1:")
        assert str(ports).endswith(f" and grpc://127.0.0.1:{ports.grpc}")
        again = Ports(Settings(port=0, grpc_port=ports.grpc), ports.http)
        assert (again.http, again.grpc) == (ports.http, ports.grpc)
    finally:
        ports.close()


async def closed_by_the_server(port: int, clients: int, preface: bytes = b"") -> int:
    """How many of so many clients that say nothing more than `preface` are let go."""
    streams = [await asyncio.open_connection("127.0.0.1", port) for _ in range(clients)]
    for _, writer in streams:
        writer.write(preface)
    reads = [asyncio.ensure_future(reader.read()) for reader, _ in streams]
    done, waiting = await asyncio.wait(reads, timeout=1.5)
    for read in waiting:
        read.cancel()
    for _, writer in streams:
        writer.close()
    return len(done)


@pytest.mark.parametrize(("name", "value", "closed"), [("HANDSHAKE", 200, 3), ("MOST_CONNECTIONS", 1, 2)])
def test_clients_that_say_nothing_are_bounded_in_time_and_number(
    name: str, value: int, closed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grpc_server, name, value)

    async def main() -> None:
        ports, app = Ports(SETTINGS), serve(iris, settings=SETTINGS)
        server = GrpcServer(app, SETTINGS, ports.grpc or 0)
        async with app.running():
            await server.start()
            assert await closed_by_the_server(ports.grpc or 0, 3) == closed
            await server.stopped()
        ports.close()

    asyncio.run(main())


def test_a_client_that_does_not_acknowledge_the_settings_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until it does, the bounds of metadata are not in force for it."""
    monkeypatch.setattr(grpc_server, "HANDSHAKE", 200)

    async def main() -> None:
        ports, app = Ports(SETTINGS), serve(iris, settings=SETTINGS)
        server = GrpcServer(app, SETTINGS, ports.grpc or 0)
        async with app.running():
            await server.start()
            assert await closed_by_the_server(ports.grpc or 0, 2, PREFACE) == 2
            await server.stopped()
        ports.close()

    asyncio.run(main())


def test_a_connection_has_as_many_calls_open_as_the_setting_says() -> None:
    """What its first frame, SETTINGS, tells a client: entry 3 is MAX_CONCURRENT_STREAMS (RFC 9113, section 6.5.2)."""
    settings = Settings(port=0, grpc_port=0, max_grpc_streams=3)

    async def main() -> None:
        ports, app = Ports(settings), serve(iris, settings=settings)
        server = GrpcServer(app, settings, ports.grpc or 0)
        async with app.running():
            await server.start()
            reader, writer = await asyncio.open_connection("127.0.0.1", ports.grpc)
            writer.write(PREFACE)
            head = await reader.readexactly(9)
            entries = await reader.readexactly(int.from_bytes(head[:3], "big"))
            assert dict(struct.iter_unpack(">HI", entries))[3] == 3
            writer.close()
            await server.stopped()
        ports.close()

    asyncio.run(main())


def test_memory_is_given_back_when_there_is_much_more_than_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes, given = iter([100, 100, 1000, 100]), list[bool]()
    monkeypatch.setattr(grpc_server, "MEMORY_LOOKS", 0.001)
    monkeypatch.setattr(grpc_server, "MEMORY_FREE", 200)
    monkeypatch.setattr(grpc_server, "_resident_bytes", lambda: next(sizes, 100))
    monkeypatch.setattr(grpc_server, "give_back", lambda: given.append(True))
    app = serve(iris, settings=SETTINGS)

    async def main() -> None:
        ports = Ports(SETTINGS)
        server = GrpcServer(app, SETTINGS, ports.grpc or 0)
        async with app.running():
            await server.start()
            await asyncio.sleep(0.2)
            await server.stopped()
        ports.close()

    asyncio.run(main())
    assert given == [True]
