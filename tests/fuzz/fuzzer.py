"""Mutates what is valid, keeps what reaches new lines, and reports what breaks a reader.

The idea is AFL's (lcamtuf, 2013): an input that takes the reader from one line to another as none did before becomes a
parent of the next ones. Here the steps between lines come from `sys.settrace`, in the files under test only.
"""

from __future__ import annotations

import random
import sys
import time
import traceback
import tracemalloc
from collections.abc import Callable, Collection, Sequence
from types import FrameType
from typing import Any

from msgspec import Struct

__all__ = ["Find", "Mutation", "Report", "fuzz"]

HANG_SECONDS = 5.0  # for one input of a few kilobytes; a reader takes well under a millisecond
MOST_BYTES = 4096  # of one input: what is found is found in small ones
LARGE = 2**63 - 1
NUMBERS = (b"0", b"-1", b"1", b"255", b"256", b"2147483648", b"9223372036854775807", b"18446744073709551616", b"1e999")

Target = Callable[[bytes], None]
Mutation = Callable[[random.Random, bytes], bytes]
Step = tuple[int, int, int]


class Find(Struct, frozen=True):
    """An input that broke the reader, and how."""

    data: bytes
    how: str


class Report(Struct):
    """What was tried: inputs, those kept as parents, steps between lines reached, and what broke (once a place)."""

    cases: int = 0
    parents: int = 0
    steps: int = 0
    refused: int = 0
    finds: dict[str, Find] = {}


def fuzz(
    target: Target,
    seeds: Sequence[bytes],
    *,
    files: Collection[str],
    words: Sequence[bytes] = (),
    mutation: Mutation | None = None,
    cases: int,
    seconds: float,
    allowed: type[Exception] | tuple[type[Exception], ...],
    memory: int,
    seed: int = 0,
) -> Report:
    """Feeds `target` until `cases` are done or `seconds` are over.

    Args:
        target: returns, or raises an `allowed` error; all else is a find.
        files: names of the source files whose steps guide the search.
        words: of the format, to put in.
        mutation: one that knows the format, for every second input: most blind ones are refused at the door.
        memory: bytes that one input may cost, beside 64 times its own size.
    """
    chances, report = random.Random(seed), Report(finds={})
    seen: set[Step] = set()
    parents = list(seeds)
    end = time.monotonic() + seconds
    for number in range(cases):
        if time.monotonic() > end:
            break
        data = parents[number] if number < len(seeds) else _mutated(chances, parents, words, mutation)
        steps = _run(target, data, files, allowed, report)
        report.cases += 1
        if not steps <= seen:
            seen |= steps
            parents.append(data)
            _weigh(target, data, allowed, memory, report)
    report.parents, report.steps = len(parents), len(seen)
    return report


def _run(target: Target, data: bytes, files: Collection[str], allowed: Any, report: Report) -> set[Step]:
    steps: set[Step] = set()
    began = time.monotonic()
    previous = sys.gettrace()
    sys.settrace(_tracer(steps, files))
    try:
        target(data)
    except allowed:
        report.refused += 1
    except Exception as error:
        _found(report, data, error)
    finally:
        sys.settrace(previous)
    if time.monotonic() - began > HANG_SECONDS:
        report.finds["hang"] = Find(data, f"it took {time.monotonic() - began:.0f} s")
    return steps


def _tracer(steps: set[Step], files: Collection[str]) -> Any:
    def call(frame: FrameType, event: str, argument: Any) -> Any:
        code = frame.f_code
        if not code.co_filename.endswith(tuple(files)):
            return None
        place, last = id(code), 0

        def line(frame: FrameType, event: str, argument: Any) -> Any:
            nonlocal last
            steps.add((place, last, frame.f_lineno))
            last = frame.f_lineno
            return line

        return line

    return call


def _found(report: Report, data: bytes, error: Exception) -> None:
    last = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{type(error).__name__} at {last.name}:{last.lineno}"
    report.finds.setdefault(where, Find(data, f"{where}: {error}"[:300]))


def _weigh(target: Target, data: bytes, allowed: Any, memory: int, report: Report) -> None:
    """Runs it once more to see what it costs in memory; a break was found already."""
    tracemalloc.start()
    try:
        target(data)
    except Exception as error:
        del error
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    if peak > memory + 64 * len(data):
        report.finds.setdefault("memory", Find(data, f"{peak} bytes for an input of {len(data)}"))


def _mutated(
    chances: random.Random, parents: Sequence[bytes], words: Sequence[bytes], mutation: Mutation | None
) -> bytes:
    if mutation is not None and chances.random() < 0.5:
        return mutation(chances, chances.choice(parents))[:MOST_BYTES]
    data = bytearray(chances.choice(parents))
    for _ in range(1 << chances.randrange(4)):
        chances.choice(MUTATIONS)(chances, data, parents, words)
    return bytes(data[:MOST_BYTES])


# ---- mutations: each changes `data` in place ---------------------------------------------------------------------


def _place(chances: random.Random, data: bytearray) -> int:
    return chances.randrange(len(data) + 1)


def _flip(chances: random.Random, data: bytearray, *_: Any) -> None:
    if data:
        data[chances.randrange(len(data))] ^= 1 << chances.randrange(8)


def _set(chances: random.Random, data: bytearray, *_: Any) -> None:
    if data:
        data[chances.randrange(len(data))] = chances.choice((0, 1, 127, 128, 255, chances.randrange(256)))


def _cut(chances: random.Random, data: bytearray, *_: Any) -> None:
    at = _place(chances, data)
    del data[at : at + chances.choice((1, 2, 4, 8, 64, len(data)))]


def _repeat(chances: random.Random, data: bytearray, *_: Any) -> None:
    at = _place(chances, data)
    data[at:at] = data[at : at + chances.choice((1, 4, 16, 64))] * chances.choice((1, 2, 8))


def _word(chances: random.Random, data: bytearray, _: Any, words: Sequence[bytes]) -> None:
    at = _place(chances, data)
    data[at : at + chances.choice((0, 0, 1, 4))] = chances.choice((*NUMBERS, *words))


def _number(chances: random.Random, data: bytearray, *_: Any) -> None:
    """A length, as little-endian bytes or as a protocol buffer's varint."""
    value = chances.choice((0, 1, len(data), len(data) + 1, 2**31, 2**32 - 1, LARGE))
    width = chances.choice((1, 2, 4, 8))
    at = _place(chances, data)
    raw = (value % 2 ** (8 * width)).to_bytes(width, "little") if chances.random() < 0.5 else _varint(value)
    data[at : at + len(raw)] = raw


def _splice(chances: random.Random, data: bytearray, parents: Sequence[bytes], _: Any) -> None:
    other = chances.choice(parents)
    start = chances.randrange(len(other) + 1)
    at = _place(chances, data)
    data[at : at + chances.choice((0, 8, len(data)))] = other[start : start + chances.choice((8, 64, len(other)))]


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes((*parts, value))


MUTATIONS = (_flip, _set, _cut, _repeat, _word, _number, _splice)
