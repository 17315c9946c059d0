"""What the handlers do before a call has a dispatcher: HTTP/2 by hand, for header blocks that no client would send."""

from __future__ import annotations

import asyncio

import pytest
from benchmarks.http2 import CONTINUATION, END_HEADERS, Headers, frame, greeting, literal

from mlpatterns.oip.grpc_messages import SERVICE
from unit.server.doubles import iris
from unit.server.grpc.asking import Asking, asking, iris_request

FRAMES = 40  # of 100 headers each: together far beyond `max_header_bytes`, each within it


@pytest.mark.parametrize("method", ["ModelInfer", "ServerLive"])
def test_a_header_block_in_many_frames_is_refused_as_a_whole(method: str) -> None:
    async def test(ask: Asking) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", ask.port)
        first = Headers(f"/{SERVICE}/{method}", f"127.0.0.1:{ask.port}").frame(1, flags=0)
        headers = b"".join(b"\0" + literal(f"x-{number}") + literal("v") for number in range(100))
        more = frame(CONTINUATION, 0, 1, headers) * FRAMES
        writer.write(greeting(65535) + first + more + frame(CONTINUATION, END_HEADERS, 1))
        came = b""
        async with asyncio.timeout(5):
            while b"the call has more than 1024 metadata; send fewer" not in came:
                came += await reader.read(1 << 16)
                assert not reader.at_eof(), came
        writer.close()
        assert await ask.infer(iris_request()), "others are answered"

    asking(test, iris())
