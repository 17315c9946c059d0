"""A mutation that knows JSON: what comes out is JSON again, changed in a few places, and its length is told right."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

__all__ = ["framed", "mutate_json", "unframed"]

ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 4, 5, 127, 128, 255, 2**31, 2**63 - 1, 2**63, 2**64, 1.5, -0.0, 1e308, 65505.0, "",
    "a", "é", [], [[]], [1], [1, 4], [0, 4], [2**62, 4], [-1], {}, {"a": 1}, "FP32", "INT8", "BYTES", "BOOL", "FP16",
    "UINT64", [1, 2, 3, 4], [[1, 2, 3, 4]], ["a"], [True], {"binary_data_size": 4}, {"binary_data_size": 0},
    {"binary_data": True}, {"classification": 1}, {"shared_memory_region": "r"},
)  # fmt: skip
KEYS = ("data", "parameters", "binary_data_size", "binary_data", "binary_data_output", "outputs", "id", "name", "shape")


def framed(body: bytes, length: int | None) -> bytes:
    """A body and the header that says where its JSON ends, as one input: a line, then the body."""
    return (b"" if length is None else str(length).encode()) + b"\n" + body


def unframed(data: bytes) -> tuple[bytes, int | None]:
    head, _, body = data.partition(b"\n")
    return body, int(head) if head.isdigit() and len(head) < 19 else None


def mutate_json(chances: random.Random, data: bytes) -> bytes:
    """Changes one to four places; what is no JSON stays as it is."""
    body, length = unframed(data)
    try:
        value = json.loads(body[:length])
    except (ValueError, RecursionError):
        return data
    for _ in range(chances.randrange(1, 5)):
        places = list(_places(value))
        if places:
            _change(chances, *chances.choice(places), places)
    text = json.dumps(value).encode()
    raw = b"" if length is None else body[length:]
    return framed(text + raw, None if length is None else len(text))


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """(container, key) of everything inside."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(pairs):
        yield value, key
        yield from _places(inner)


def _change(chances: random.Random, container: Any, key: Any, places: list[tuple[Any, Any]]) -> None:
    other, its_key = chances.choice(places)
    taken = chances.choice(ODD) if chances.random() < 0.7 else other[its_key]
    new = json.loads(json.dumps(taken))  # a copy, or a value would come to hold itself
    match chances.randrange(4):
        case 0 if isinstance(container, dict):
            container[chances.choice(KEYS)] = new
        case 1 if isinstance(container, list):
            container.append(new)
        case 2:
            del container[key]
        case _:
            container[key] = new
