"""The gRPC server of one process: its life, where no signal is sent and no process started."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import pytest

from mlpatterns.errors import SettingsError
from mlpatterns.launch.grpc_server import GrpcServer
from mlpatterns.launch.listening import Ports
from mlpatterns.oip.grpc_messages import SERVICE
from mlpatterns.server.app import serve
from mlpatterns.settings import Settings
from unit.server.doubles import iris

SETTINGS = Settings(port=0, grpc_port=0)


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


def test_a_certificate_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    missing = Settings(port=0, grpc_port=0, tls_certificate=tmp_path / "none.pem", tls_key=tmp_path / "none.pem")

    async def main() -> None:
        app = serve(iris, settings=missing)
        async with app.running():
            with pytest.raises(SettingsError, match="tls_certificate and tls_key cannot be read"):
                await GrpcServer(app, missing, 1).start()

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
