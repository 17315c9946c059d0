"""What no honest gRPC client sends: each ends its own connection, with the code that says why, and leaves nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from itertools import count, islice, repeat

import pytest
from jh2.hpack import Encoder

from mlpatterns.launch.grpc import connection, life
from mlpatterns.launch.grpc.framing import framed
from unit.launch.grpc.talking import INFER, PREFACE, Talk, frame, talking
from unit.launch.grpc.test_connection import HEADERS, ROW
from unit.server.doubles import iris

PROTOCOL_ERROR, FRAME_SIZE_ERROR, REFUSED, CALM = 1, 6, 7, 11
DATA, HEAD, PRIORITY, RST, SETTINGS, PING, WINDOW, CONTINUATION = 0, 1, 2, 3, 4, 6, 8, 9
END_STREAM, END_HEADERS = 1, 4

Frames = Iterator[bytes]


def block() -> bytes:
    return bytes(Encoder().encode([(*field, True) for field in HEADERS]))  # never indexed: the same again and again


def resets() -> Frames:
    """CVE-2023-44487: a call is begun and given up, again and again."""
    fields = block()
    return (frame(HEAD, END_HEADERS, 2 * n + 1, fields) + frame(RST, 0, 2 * n + 1, bytes(4)) for n in count())


def empty_data() -> Frames:
    yield frame(HEAD, END_HEADERS, 1, block())
    yield from repeat(frame(DATA, 0, 1))


def continuations() -> Frames:
    """CVE-2024-27316: a header block without end."""
    yield frame(HEAD, 0, 1, block())
    yield from repeat(frame(CONTINUATION, 0, 1, b"\0\1a\1b" * 1000))


def settings_without_end() -> Frames:
    """Each names a setting that nobody knows, for jh2 to remember."""
    return (frame(SETTINGS, 0, 0, n.to_bytes(2, "big") + bytes(4)) for n in count(100))


def header_bomb() -> Frames:
    """A field of 4,000 bytes put into the table, and named thousands of times: 4 KB that become 16 MB."""
    encoder = Encoder()
    yield frame(HEAD, END_HEADERS, 1, encoder.encode([*HEADERS, (b"x-large", b"v" * 3900)]))
    yield frame(HEAD, END_HEADERS, 3, encoder.encode(HEADERS) + b"\xbe" * 4000)


FLOODS: dict[str, Callable[[], Frames]] = {
    "rapid resets": resets,
    "pings": lambda: repeat(frame(PING, 0, 0, bytes(8))),
    "settings": lambda: repeat(frame(SETTINGS)),
    "settings without end": settings_without_end,
    "priorities": lambda: repeat(frame(PRIORITY, 0, 1, bytes(4) + b"\1")),
    "empty data": empty_data,
    "windows": lambda: repeat(frame(WINDOW, 0, 0, b"\0\0\0\1")),
    "continuations": continuations,
    "frames of no known kind": lambda: repeat(frame(0x77, 0, 0, b"x")),
    "a header bomb": header_bomb,
}


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_ends_its_connection_and_asks_for_calm(name: str) -> None:
    async def test(talk: Talk) -> None:
        other = Talk(talk.app, talk.served)
        talk.say(PREFACE + frame(SETTINGS))
        for sent in islice(FLOODS[name](), 10_000):
            talk.say(sent)
            if talk.transport.closed:
                break
            if len(talk.connection.calls) > 50:
                await asyncio.sleep(0)
        assert talk.transport.closed, "after 10,000 frames"
        assert talk.transport.written.endswith(CALM.to_bytes(4, "big")), "GOAWAY, ENHANCE_YOUR_CALM"
        assert (await other.until_over(other.open(body=framed(ROW)))).status == b"0"
        other.connection.connection_lost(None)

    talking(test, iris())


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + bytes(100), None),
        (PREFACE + frame(PING, 0, 0, bytes(8)), PROTOCOL_ERROR),  # SETTINGS come first
        (PREFACE + frame(SETTINGS) + frame(DATA, 0, 1, b"x"), PROTOCOL_ERROR),
        (PREFACE + frame(SETTINGS) + frame(HEAD, END_HEADERS, 2, block()), PROTOCOL_ERROR),
        (PREFACE + frame(SETTINGS) + frame(HEAD, END_HEADERS, 1, b"\xff" * 20), None),
        (PREFACE + frame(SETTINGS) + frame(CONTINUATION, 0, 1, b"x"), PROTOCOL_ERROR),
        (PREFACE + frame(SETTINGS) + b"\xff\xff\xff\0\0\0\0\0\1", FRAME_SIZE_ERROR),
        (PREFACE + frame(SETTINGS, 0, 0, b"12345"), FRAME_SIZE_ERROR),
        (PREFACE + frame(SETTINGS, 0, 0, b"\0\4\xff\xff\xff\xff"), None),  # a window of more than 2^31 - 1
        (PREFACE + frame(SETTINGS) + frame(PING, 0, 0, bytes(7)), FRAME_SIZE_ERROR),
        (PREFACE + frame(SETTINGS) + frame(WINDOW, 0, 0, bytes(4)), PROTOCOL_ERROR),
        (PREFACE + frame(SETTINGS) + frame(5, 4, 1, bytes(4) + block()), PROTOCOL_ERROR),  # PUSH_PROMISE
    ],
    ids=["HTTP/1.1", "no settings", "data of no stream", "an even stream", "no HPACK", "a naked continuation",
         "a frame of 16 MB", "half a setting", "a window too large", "a short ping", "a window of 0", "a promise"],
)  # fmt: skip
def test_what_breaks_the_protocol_ends_its_connection(
    sent: bytes, code: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(talk: Talk) -> None:
        talk.say(sent)
        await asyncio.sleep(0)
        assert talk.transport.closed
        if code is not None:
            assert talk.transport.written[-4:] == code.to_bytes(4, "big")

    talking(test, iris())
    assert caplog.text == "", "strangers write no log"


def test_pings_at_the_rate_of_honest_clients_are_answered() -> None:
    """gRPC's own clients measure the way's delay with a ping for each message that they read."""

    async def test(talk: Talk) -> None:
        for _ in range(2000):
            talk.client.ping(bytes(8))
            ended = await talk.until_over(talk.open(body=framed(ROW)))
            assert ended.status == b"0"
        assert not talk.transport.closed

    talking(test, iris())


def test_calls_above_what_a_connection_may_have_open_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MOST_STREAMS", 2)

    async def test(talk: Talk) -> None:
        talk.open(body=b"", end=False)
        talk.open(body=b"", end=False)
        talk.client.remote_settings = type(talk.client.remote_settings)(client=False)  # it does not care
        assert (await talk.until_over(talk.open(body=framed(ROW)))).reset == REFUSED
        assert len(talk.connection.calls) == 2

    talking(test, iris())


@pytest.mark.parametrize("sent", [b"", PREFACE[:10], PREFACE], ids=["nothing", "half a preface", "a preface"])
def test_who_does_not_greet_in_time_is_let_go(sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(life, "GREETING", 0.02)

    async def test(talk: Talk) -> None:
        if sent:
            talk.say(sent)
        await asyncio.sleep(0.1)
        assert talk.transport.closed

    talking(test, iris())


def test_who_is_silent_is_asked_and_let_go_without_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("GREETING", 0.02), ("KEEP_ALIVE", 0.04), ("PATIENCE", 0.04)):
        monkeypatch.setattr(life, name, seconds)

    async def test(talk: Talk) -> None:
        talk.say()
        async with asyncio.timeout(5):
            while frame(PING, 0, 0, bytes(8)) not in talk.transport.written:
                await asyncio.sleep(0.005)
            assert not talk.transport.closed
            while not talk.transport.closed:
                await asyncio.sleep(0.005)

    talking(test, iris())


def test_many_frames_at_once_leave_others_their_turn() -> None:
    async def test(talk: Talk) -> None:
        talk.say()
        sent = b"".join(frame(PING, 0, 0, bytes(8)) for _ in range(300))
        talk.say(sent)
        paused = talk.transport.paused
        assert paused
        assert talk.transport.written.count(frame(PING, 1, 0, bytes(8))) < 300
        await talk.read()
        assert not talk.transport.paused
        assert (await talk.until_over(talk.open(INFER, framed(ROW)))).status == b"0"

    talking(test, iris())
