"""HTTP/2 by jh2, with what a server of many short calls needs said otherwise than jh2 says it by itself."""

from __future__ import annotations

from typing import Any

import hpack
from jh2.config import H2Configuration
from jh2.connection import ConnectionInputs, ConnectionState, H2Connection, H2ConnectionStateMachine
from jh2.errors import ErrorCodes
from jh2.events import DataReceived
from jh2.exceptions import DenialOfServiceError, ProtocolError
from jh2.settings import SettingCodes, Settings
from jh2.stream import StreamInputs

from mlpatterns.launch.grpc.floods import MOST_FRAME_BYTES, Calm

__all__ = ["CONNECTION_WINDOW", "STREAM_WINDOW", "Http2", "header_bytes_borne"]

STREAM_WINDOW = 1024 * 1024  # bytes that may be under way: an image's tensor never waits for an acknowledgement
CONNECTION_WINDOW = 4 * STREAM_WINDOW
FIRST_WINDOW = 65535  # RFC 9113, 6.9.2
TABLE = 4096  # bytes of headers that each side remembers; RFC 9113, 6.5.2
MOST_SETTINGS = 64  # kinds of them that a peer may name: jh2 remembers each
SPARE = 16 * 1024  # bytes of headers
CLOSED_STREAMS = 1024  # whose end jh2 remembers, where it would remember 65,536

# Headers in are checked by `read_head`, which resets a stream where jh2 would end the connection; those out are ours.
CONFIG = H2Configuration(
    client_side=False,
    header_encoding=None,
    validate_inbound_headers=False,
    normalize_inbound_headers=False,
    validate_outbound_headers=False,
    normalize_outbound_headers=False,
)
_NOT_FROM_CLIENTS = (ConnectionInputs.RECV_PUSH_PROMISE, ConnectionInputs.RECV_ALTERNATIVE_SERVICE)


def header_bytes_borne(told: int) -> int:
    """The bytes of a header block up to which a call is refused by itself; above, its connection ends."""
    return 2 * told + SPARE


class Lasting(H2ConnectionStateMachine):  # type: ignore[misc]  # jh2 has no types
    """A connection that a GOAWAY does not end: what is under way is still answered (RFC 9113, 6.8)."""

    def process_input(self, input_: ConnectionInputs) -> list[Any]:
        if self.state is ConnectionState.SERVER_OPEN and input_ not in _NOT_FROM_CLIENTS:
            return []
        if input_ is ConnectionInputs.SEND_GOAWAY or input_ is ConnectionInputs.RECV_GOAWAY:
            return []
        found: list[Any] = super().process_input(input_)
        return found


class HeaderDecoder(hpack.Decoder):
    """hpack's decoder in place of jh2's own, which is as fast but panics in Rust at a block that is cut short."""

    def decode(self, data: bytes, raw: bool = False) -> Any:
        """The fields of a header block.

        Raises:
            ProtocolError: it is none, or too large, as jh2 says it of its own decoder.
        """
        try:
            return super().decode(data, raw=True)
        except hpack.OversizedHeaderListError as error:
            raise DenialOfServiceError(str(error)) from None
        except hpack.HPACKError as error:
            raise ProtocolError(str(error)) from None


class Http2(H2Connection):  # type: ignore[misc]
    """One connection's state.

    Args:
        most_streams: that a client may have open, as it is told; who opens more is refused by whom this serves.
        most_header_bytes: of one call's headers unpacked, as HPACK counts, and as a client is told.
    """

    MAX_CLOSED_STREAMS = CLOSED_STREAMS

    def __init__(self, most_streams: int, most_header_bytes: int) -> None:
        super().__init__(CONFIG)
        self.state_machine = Lasting()
        self.local_settings = Settings(
            client=False,
            initial_values={
                SettingCodes.HEADER_TABLE_SIZE: TABLE,
                SettingCodes.MAX_CONCURRENT_STREAMS: most_streams,
                SettingCodes.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
                SettingCodes.MAX_FRAME_SIZE: MOST_FRAME_BYTES,
                SettingCodes.MAX_HEADER_LIST_SIZE: most_header_bytes,
            },
        )
        # What holds until the client says otherwise; jh2 takes it to have said 6 MiB and 64 KiB already.
        self.remote_settings = Settings(
            client=True,
            initial_values={SettingCodes.HEADER_TABLE_SIZE: TABLE, SettingCodes.INITIAL_WINDOW_SIZE: FIRST_WINDOW},
        )
        self.decoder = HeaderDecoder()
        self.decoder.max_allowed_table_size = TABLE
        self.decoder.max_header_list_size = header_bytes_borne(most_header_bytes)
        self.max_inbound_frame_size = MOST_FRAME_BYTES
        self.open_calls = 0
        self.initiate_connection()
        self.increment_flow_control_window(CONNECTION_WINDOW - FIRST_WINDOW)

    @property
    def open_inbound_streams(self) -> int:
        """None, as far as jh2 shall know: it would end the connection of a client that has too many, not the stream.

        jh2 looks here whenever a stream begins, and at all streams, to forget those that have ended; that is done
        when they are worth it.
        """
        if len(self.streams) > 2 * self.open_calls + 16:
            super()._open_streams(1)
        return 0

    def clear_outbound_data_buffer(self) -> None:
        """Nothing: jh2 would throw away what is not sent yet when a client says that it will go."""

    def settled(self) -> None:
        """The client has changed its settings.

        Raises:
            Calm: it has named too many.
        """
        if len(self.remote_settings) > MOST_SETTINGS:
            raise Calm(ErrorCodes.ENHANCE_YOUR_CALM)
        if self.encoder.header_table_size > TABLE:  # as much as we remember for it, however much it would have
            self.encoder.header_table_size = TABLE

    def take(self, data: bytes) -> list[Any]:
        """What the peer says, in order. Of each stream, all that came of messages is acknowledged at once.

        Raises:
            ProtocolError: it breaks the protocol; GOAWAY is ready to be sent.
        """
        found: list[Any] = self.receive_data(data)
        read: dict[int, int] = {}
        for event in found:
            if type(event) is DataReceived:
                read[event.stream_id] = read.get(event.stream_id, 0) + event.flow_controlled_length
        for stream, size in read.items():
            self.acknowledge_received_data(size, stream)
        return found

    def room(self, stream: int) -> int:
        """How many bytes of DATA may go out on `stream` now."""
        try:
            return int(self.local_flow_control_window(stream))
        except ProtocolError:
            return 0

    def send_much(self, stream: int, data: memoryview) -> None:
        """Sends bytes for which there is `room`, in as many frames as they need.

        What jh2 does for a frame, it does here once for all of them: of a tensor it would cost more than the rest.

        Raises:
            ProtocolError: the stream has ended.
        """
        size, most = len(data), int(self.max_outbound_frame_size)
        if size <= most:
            self.send_data(stream, bytes(data))
            return
        open_stream = self._get_stream_by_id(stream)
        open_stream.state_machine.process_input(StreamInputs.SEND_DATA)
        open_stream.outbound_flow_control_window -= size
        self.outbound_flow_control_window -= size
        number = stream.to_bytes(4, "big")
        parts: list[bytes | memoryview] = []
        for at in range(0, size, most):
            part = data[at : at + most]
            parts += (len(part).to_bytes(3, "big"), b"\0\0", number, part)  # DATA, no flags: RFC 9113, 6.1
        self._data_to_send += b"".join(parts)
