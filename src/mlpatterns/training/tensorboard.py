"""Writes scalars into TensorBoard's event files without TensorBoard.

A file is a sequence of records in TensorFlow's TFRecord format: length, masked CRC-32C of the length, bytes, masked
CRC-32C of the bytes. Each record is an `Event` of tensorflow/core/util/event.proto; a scalar needs five of its fields.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from struct import pack
from time import time

__all__ = ["EventFile", "crc32c"]

POLYNOMIAL = 0x82F63B78  # the Castagnoli polynomial, bits reversed (RFC 3720, B.4)
MASK_DELTA = 0xA282EAD8


class EventFile:
    """A new event file in a folder; a resumed run adds another file to the same folder, and TensorBoard joins them."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        now = time()
        self._file = (folder / f"events.out.tfevents.{now:.6f}.{socket.gethostname()}.{os.getpid()}").open("wb")
        self._write(_double(1, now) + _bytes(3, b"brain.Event:2"))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Writes scalars by tag, such as ``loss/train``, and flushes them to the file."""
        summary = b"".join(_bytes(1, _bytes(1, tag.encode()) + _float(2, value)) for tag, value in values.items())
        self._write(_double(1, time()) + _integer(2, step) + _bytes(5, summary))
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def _write(self, event: bytes) -> None:
        length = pack("<Q", len(event))
        self._file.write(length + _masked(length) + event + _masked(event))


# ---- protocol buffers: a field is its number and wire type, then its value -------------------------------------------


def _double(number: int, value: float) -> bytes:
    return pack("<Bd", number << 3 | 1, value)


def _float(number: int, value: float) -> bytes:
    return pack("<Bf", number << 3 | 5, value)


def _integer(number: int, value: int) -> bytes:
    return bytes([number << 3]) + _varint(value)


def _bytes(number: int, value: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    """A varint: seven bits per byte, the lowest first; the eighth bit is set on all bytes but the last."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


# ---- checksums -------------------------------------------------------------------------------------------------------


def _row(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (POLYNOMIAL if byte & 1 else 0)
    return byte


TABLE = tuple(_row(byte) for byte in range(256))


def crc32c(content: bytes) -> int:
    """The CRC-32C of bytes."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def _masked(content: bytes) -> bytes:
    """The checksum, rotated and offset as TFRecord requires, because a CRC of data that contains CRCs would be weak."""
    crc = crc32c(content)
    return pack("<I", ((crc >> 15 | crc << 17) + MASK_DELTA) & 0xFFFFFFFF)
