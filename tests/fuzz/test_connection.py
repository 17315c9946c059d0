"""A whole gRPC connection under the fuzzer: whatever comes, it answers, refuses or ends, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Iterator

import pytest
from jh2.config import H2Configuration
from jh2.connection import H2Connection

from fuzz.fuzzer import fuzz
from mlpatterns.launch.grpc import connection, floods, framing, head, http2, rpc, sending
from mlpatterns.launch.grpc.connection import Connection
from mlpatterns.launch.grpc.served import Served
from mlpatterns.server.app import App, serve
from unit.launch.grpc.talking import PREFACE, Transport, frame
from unit.launch.grpc.test_connection import HEADERS, ROW
from unit.server.doubles import iris

CHAOS = int(os.environ.get("MLPATTERNS_CHAOS", "1"))
CASES, SECONDS = 3_000 * CHAOS**2, 60.0 * CHAOS
FILES = [module.__file__ or "" for module in (connection, floods, framing, head, http2, rpc, sending)]
FRAME = 9


def conversation() -> bytes:
    """What an honest client says: two calls, one of them in pieces, a ping, a window, a reset."""
    client = H2Connection(H2Configuration(client_side=True, header_encoding=None))
    client.initiate_connection()
    message = framing.framed(ROW)
    for stream in (1, 3):
        client.send_headers(stream, [*HEADERS, (b"grpc-timeout", b"1S"), (b"x-bin", b"AAE")])
        client.send_data(stream, message[:20])
        client.ping(bytes(8))
        client.increment_flow_control_window(1000)
        client.send_data(stream, message[20:], end_stream=stream == 1)
    client.reset_stream(3)
    client.update_settings({4: 20})
    return bytes(client.data_to_send())


def frames_of(data: bytes) -> Iterator[bytes]:
    """The frames after the preface, as far as they are whole."""
    at = len(PREFACE)
    while at + FRAME <= len(data):
        end = at + FRAME + int.from_bytes(data[at : at + 3], "big")
        yield data[at:end]
        at = end


def mutate(chance: random.Random, data: bytes) -> bytes:
    """Changes within frames that stay frames: lengths are made good, so that most of it is reached."""
    frames = list(frames_of(data)) or [frame(4)]
    for _ in range(chance.randint(1, 4)):
        which = chance.randrange(len(frames))
        if len(frames[which]) < FRAME:  # cut short before
            continue
        kind, flags, stream, payload = (frames[which][3], frames[which][4],
                                        int.from_bytes(frames[which][5:9], "big"), frames[which][9:])  # fmt: skip
        match chance.randrange(8):
            case 0:
                kind = chance.choice((*range(10), 0x77))
            case 1:
                flags ^= 1 << chance.randrange(8)
            case 2:
                stream = chance.choice((0, 1, 2, 3, 5, 7, 2**31 - 1))
            case 3 if payload:
                at = chance.randrange(len(payload))
                payload = payload[:at] + chance.randbytes(chance.randint(0, 4)) + payload[at + chance.randint(0, 4) :]
            case 4:
                frames.insert(chance.randrange(len(frames) + 1), frames[which])
                continue
            case 5 if len(frames) > 1:
                del frames[which]
                continue
            case 6:
                frames[which] = frames[which][: chance.randint(0, len(frames[which]))]
                continue
            case _:
                payload += chance.randbytes(chance.randint(1, 8))
        frames[which] = frame(kind & 255, flags & 255, stream, payload)
    return PREFACE + b"".join(frames)


async def one(app: App, served: Served, data: bytes) -> None:
    transport, talk = Transport(), Connection(served)
    talk.connection_made(transport)
    half = len(data) // 2
    talk.data_received(data[:half])
    await asyncio.sleep(0)
    if not transport.closed:
        talk.data_received(data[half:])
    for _ in range(20):
        await asyncio.sleep(0)
    talk.connection_lost(None)
    for _ in range(20):
        await asyncio.sleep(0)
    assert not talk.calls
    assert not served.connections
    assert served.buffers.held == 0


@pytest.mark.slow
def test_a_connection_survives_whatever_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    def failed(*words: object, **more: object) -> None:
        raise AssertionError("the connection failed")

    monkeypatch.setattr(connection.log, "exception", failed)
    app = serve(iris)
    with asyncio.Runner() as runner:
        running = app.running()
        runner.run(running.__aenter__())
        face = app.grpc_face()
        served = Served(face.find, face.buffers, face.offload, 8192, 0.01, set())
        report = fuzz(
            lambda data: runner.run(one(app, served, data)),
            [conversation()],
            files=FILES,
            mutation=mutate,
            cases=CASES,
            seconds=SECONDS,
            allowed=(),
            memory=4 * 1024 * 1024,
        )
        runner.run(running.__aexit__(None, None, None))
    assert report.finds == {}
    assert report.cases >= 500
    assert report.parents > 20
