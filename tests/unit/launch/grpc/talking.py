"""One connection of the gRPC server on a transport that keeps what is written, and a client of raw frames before it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from jh2 import events
from jh2.config import H2Configuration
from jh2.connection import ConnectionInputs, H2Connection, H2ConnectionStateMachine
from msgspec import Struct, field
from msgspec.structs import replace

from mlpatterns.launch.grpc.connection import Connection
from mlpatterns.launch.grpc.served import Served
from mlpatterns.oip.grpc_messages import SERVICE
from mlpatterns.predictor import Predictor
from mlpatterns.server.app import App, serve
from mlpatterns.settings import Settings

INFER = f"/{SERVICE}/ModelInfer"
CONFIG = H2Configuration(
    client_side=True, header_encoding=None, validate_outbound_headers=False, normalize_outbound_headers=False
)
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


class Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__({})
        self.written, self.closed, self.paused = b"", False, False

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False


class Ended(Struct):
    """What came back on one stream: fields in order, messages, and the code of a reset."""

    fields: list[tuple[bytes, bytes]] = field(default_factory=list)
    data: bytes = b""
    reset: int | None = None
    over: bool = False

    def get(self, name: bytes) -> bytes | None:
        return dict(self.fields).get(name)

    @property
    def status(self) -> bytes | None:
        return self.get(b"grpc-status")


class Patient(H2ConnectionStateMachine):  # type: ignore[misc]  # jh2 has no types
    """A client's connection that a GOAWAY does not end, as gRPC's are: jh2's own are closed by it."""

    def process_input(self, input_: Any) -> Any:
        return [] if input_ is ConnectionInputs.RECV_GOAWAY else super().process_input(input_)


class Talk:
    """A client of one connection; `client` is a jh2 connection that has not read anything yet."""

    def __init__(self, app: App, served: Served) -> None:
        self.app, self.served = app, served
        self.transport, self.connection = Transport(), Connection(served)
        self.connection.connection_made(self.transport)
        self.client = H2Connection(CONFIG)
        self.client.state_machine = Patient()
        self.client.initiate_connection()
        self.streams: dict[int, Ended] = {}
        self.goaways: list[int] = []

    def say(self, data: bytes | None = None) -> None:
        """Brings bytes to the server: these, or what the client has to say."""
        self.connection.data_received(self.client.data_to_send() if data is None else data)

    def open(self, path: str = INFER, body: bytes | None = None, *, end: bool = True, **changed: Any) -> int:
        """A call, with the headers `changed` (None leaves one out); the stream's number."""
        stream: int = self.client.get_next_available_stream_id()
        fields = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "x", "te": "trailers",
                  "content-type": "application/grpc"}  # fmt: skip
        fields |= {name.replace("_", "-").replace("--", ":"): value for name, value in changed.items()}
        pairs = [(name.encode(), str(value).encode()) for name, value in fields.items() if value is not None]
        self.client.send_headers(stream, pairs, end_stream=body is None and end)
        if body is not None:
            self.client.send_data(stream, body, end_stream=end)
        self.say()
        return stream

    async def read(self, turns: int = 30) -> None:
        """Lets the server work, and reads what it has written."""
        for _ in range(turns):
            await asyncio.sleep(0)
            written, self.transport.written = self.transport.written, b""
            if written:
                for event in self.client.receive_data(written):
                    self._came(event)

    async def until_over(self, stream: int, seconds: float = 5.0) -> Ended:
        """What came back on a stream that ends."""
        async with asyncio.timeout(seconds):
            while stream not in self.streams or not self.streams[stream].over:
                await self.read()
                self.say_if_any()
                await asyncio.sleep(0.001)
        return self.streams[stream]

    def say_if_any(self) -> None:
        data = self.client.data_to_send()
        if data and not self.transport.closed:
            self.connection.data_received(data)

    def _came(self, event: Any) -> None:
        if isinstance(event, events.ConnectionTerminated):
            self.goaways.append(int(event.error_code))
        ended = self.streams.setdefault(event.stream_id, Ended()) if getattr(event, "stream_id", None) else None
        if ended is None:
            return
        if isinstance(event, (events.ResponseReceived, events.TrailersReceived)):
            ended.fields += [(bytes(name), bytes(value)) for name, value in event.headers]
        elif isinstance(event, events.DataReceived):
            ended.data += event.data
            self.client.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, events.StreamReset):
            ended.reset, ended.over = int(event.error_code), True
        elif isinstance(event, events.StreamEnded):
            ended.over = True


def talking(
    test: Callable[[Talk], Awaitable[None]],
    served: Predictor | Mapping[str, Predictor],
    *,
    settings: Settings | None = None,
    patience: float = 5.0,
) -> None:
    """Runs `test` with one connection; when it is lost, nothing of it may be left."""

    async def main() -> None:
        chosen = settings or Settings()
        app = serve(lambda: served, settings=replace(chosen))
        async with app.running():
            face = app.grpc_face()
            shared = Served(
                face.find,
                face.buffers,
                face.offload,
                chosen.max_header_bytes,
                patience,
                set(),
            )
            talk = Talk(app, shared)
            try:
                await asyncio.wait_for(test(talk), 20)
            finally:
                talk.connection.connection_lost(None)
                face.health.stop()
                for _ in range(50):
                    await asyncio.sleep(0)
            assert not shared.connections
            assert not talk.connection.calls
            assert face.buffers.held == 0

    asyncio.run(main())


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    """One frame by hand: RFC 9113, 4.1."""
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload
