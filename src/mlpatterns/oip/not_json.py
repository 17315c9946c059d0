"""Why bytes are not JSON, where the decoder's own words would send their reader to the wrong place."""

from __future__ import annotations

import re

__all__ = ["what_it_is"]

_HIGH, _LOW = rb"\\u[dD][89abAB][0-9a-fA-F]{2}", rb"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
# Possessive, so that a long text is passed once and nothing of it is remembered for a second try.
_SOUND = re.compile(rb"(?:[^\\]++|\\[^u]|%b%b|\\u(?![dD][89a-fA-F])[0-9a-fA-F]{4})*+" % (_HIGH, _LOW), re.DOTALL)
_HALF = re.compile(rb"%b|%b" % (_HIGH, _LOW))
_NUMBERS = re.compile(rb"[:\[,]\s*(NaN|-?Infinity)\b")
_FIRST_BYTES = (
    (b"\x1f\x8b", "it is compressed; say so with the header Content-Encoding: gzip"),
    (b"\xef\xbb\xbf", "it begins with a byte order mark; send UTF-8 without one"),
    (b"\xff\xfe", "it is UTF-16; send UTF-8"),
    (b"\xfe\xff", "it is UTF-16; send UTF-8"),
    (b"{'", "it is not JSON: names and texts stand in double quotes"),
)


def what_it_is(text: bytes) -> str | None:
    """What `text`, which a decoder has refused, is instead of JSON; None where the decoder says it well itself."""
    if not text.strip():
        return "it is empty"
    for first, words in _FIRST_BYTES:
        if text.startswith(first):
            return words
    number = _NUMBERS.search(text)
    if number is not None:
        return f"it is not JSON, which has no {number[1].decode()}; send such numbers as binary data"
    sound = _SOUND.match(text)
    half = _HALF.match(text, sound.end()) if sound is not None else None
    if half is None:
        return None
    return f"it has {half[0].decode()}, half of a surrogate pair, which is no character"
