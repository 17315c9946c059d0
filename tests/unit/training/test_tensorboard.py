"""Event files, read back by a reader that shares no code with the writer."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from struct import unpack_from
from typing import Any

import pytest

from mlpatterns.training.tensorboard import EventFile, crc32c


def records(content: bytes) -> Iterator[bytes]:
    """TFRecords, their checksums checked bit by bit."""
    place = 0
    while place < len(content):
        (length,) = unpack_from("<Q", content, place)
        body = content[place + 12 : place + 12 + length]
        assert unpack_from("<I", content, place + 8)[0] == mask(slow_crc(content[place : place + 8]))
        assert unpack_from("<I", content, place + 12 + length)[0] == mask(slow_crc(body))
        yield body
        place += length + 16


def slow_crc(content: bytes) -> int:
    state = 0xFFFFFFFF
    for byte in content:
        for bit in range(8):
            odd = (state ^ byte >> bit) & 1
            state = state >> 1 ^ (0x82F63B78 if odd else 0)
    return state ^ 0xFFFFFFFF


def mask(crc: int) -> int:
    return ((crc >> 15) | (crc << 17 & 0xFFFFFFFF)) + 0xA282EAD8 & 0xFFFFFFFF


def fields(message: bytes) -> dict[int, list[Any]]:
    """A protocol buffer's fields by number."""
    found: dict[int, list[Any]] = {}
    place = 0
    value: Any
    while place < len(message):
        key, place = varint(message, place)
        if key & 7 == 0:
            value, place = varint(message, place)
        elif key & 7 == 1:
            value, place = unpack_from("<d", message, place)[0], place + 8
        elif key & 7 == 5:
            value, place = unpack_from("<f", message, place)[0], place + 4
        else:
            length, place = varint(message, place)
            value, place = message[place : place + length], place + length
        found.setdefault(key >> 3, []).append(value)
    return found


def varint(message: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[place]
        value, shift, place = value | (byte & 0x7F) << shift, shift + 7, place + 1
        if byte < 0x80:
            return value, place


def events(folder: Path) -> list[dict[int, list[Any]]]:
    (path,) = folder.glob("events.out.tfevents.*")
    return [fields(record) for record in records(path.read_bytes())]


def test_a_file_begins_with_its_version(tmp_path: Path) -> None:
    EventFile(tmp_path).close()
    (first,) = events(tmp_path)
    assert first[3] == [b"brain.Event:2"]
    assert first[1][0] > 1_700_000_000  # seconds since 1970


def test_scalars_come_back_with_their_tags_and_steps(tmp_path: Path) -> None:
    file = EventFile(tmp_path)
    file.scalars(1, {"loss": 2.5, "accuracy": 0.125})
    file.scalars(70_000, {"a tag of more than 127 characters: " + "x" * 200: -1.0})
    _, first, second = events(tmp_path)  # seen before the file is closed
    file.close()
    assert (first[2], second[2]) == ([1], [70_000])
    read = [fields(value) for event in (first, second) for value in fields(event[5][0])[1]]
    assert [(value[1][0][:8], value[2][0]) for value in read] == [
        (b"loss", 2.5),
        (b"accuracy", 0.125),
        (b"a tag of", -1),
    ]
    assert len(read[2][1][0]) == 235


def test_the_checksum_is_castagnoli_s() -> None:
    assert crc32c(b"123456789") == 0xE3069283  # the check value of CRC-32C
    assert crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720, B.4
    assert crc32c(b"") == 0 != zlib.crc32(b"x")


@pytest.mark.parametrize("runs", [2])
def test_a_run_that_is_resumed_writes_beside_the_first(runs: int, tmp_path: Path) -> None:
    for _ in range(runs):
        EventFile(tmp_path).close()
    assert len(list(tmp_path.iterdir())) == runs
