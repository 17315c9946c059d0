"""Unique identifiers that sort by the time of their creation: UUIDv7 (RFC 9562, section 5.7)."""

from __future__ import annotations

import os
import random
import re
import time

__all__ = ["made_at", "new_id"]

_random = random.Random(os.urandom(32))  # noqa: S311 - unique, not secret
_getrandbits, _time_ns = _random.getrandbits, time.time_ns
_last = 0
_UUID7 = re.compile(r"([0-9a-f]{8})-([0-9a-f]{4})-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def new_id() -> str:
    """A UUIDv7, greater than all before it in this process.

    The 12 bits below the millisecond hold its fraction (method 3 of section 6.2). When the clock stands still or goes
    back, the last value is increased by one.
    """
    global _last
    tick = (_time_ns() << 12) // 1_000_000  # in 4096ths of a millisecond
    if tick <= _last:
        tick = _last + 1
    _last = tick
    chance = _getrandbits(62)
    return "%08x-%04x-7%03x-%04x-%012x" % (  # noqa: UP031 - half the time of an f-string here
        tick >> 28,
        tick >> 12 & 0xFFFF,
        tick & 0xFFF,
        chance >> 48 | 0x8000,
        chance & 0xFFFF_FFFF_FFFF,
    )


def made_at(name: str) -> float | None:
    """The time when a UUIDv7 was made, in seconds since 1970; None if `name` is not a UUIDv7."""
    match = _UUID7.fullmatch(name)
    return int(match[1] + match[2], 16) / 1000 if match else None


def _reseed() -> None:
    _random.seed(os.urandom(32))


os.register_at_fork(after_in_child=_reseed)
