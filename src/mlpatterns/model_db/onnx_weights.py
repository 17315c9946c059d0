"""An ONNX model whose weights lie in other files becomes one file; all else of it stays as it is, byte for byte.

ONNX is a protobuf. Only what holds tensors is opened, by the field numbers of onnx.proto; the rest is copied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from mlpatterns.errors import ModelFileError

__all__ = ["gathered"]

Read = Callable[[str], bytes]

# message -> field number -> the message in it: the ways from a model to its tensors
INSIDE: dict[str, dict[int, str]] = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor"},
    "function": {7: "node"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph"},
}
KEY, VALUE, RAW, EXTERNAL, LOCATION = 1, 2, 9, 13, 14
BYTES = 2  # the wire type of what has a length
DEEPEST = 64  # messages inside of messages: a graph inside of a graph takes three


class _Field(NamedTuple):
    number: int
    kind: int
    whole: memoryview  # with its tag
    content: memoryview


def gathered(model: bytes, read: Read) -> bytes:
    """The model with every tensor in it; `model` itself if no tensor is elsewhere.

    Args:
        read: the content of a file by the name that a tensor gives; it refuses names that it does not like.

    Raises:
        ModelFileError: the bytes are no ONNX model, or a tensor is not where it says.
    """
    found: list[str] = []

    def reading(name: str) -> bytes:
        found.append(name)
        return read(name)

    made = _message(memoryview(model), "model", reading, 0)
    return made if found else model


def _message(content: memoryview, name: str, read: Read, depth: int) -> bytes:
    if depth > DEEPEST:
        raise ModelFileError("it is no ONNX model that is understood: it is nested too deeply")
    if name == "tensor":
        return _tensor(content, read)
    parts: list[bytes | memoryview] = []
    for field in _fields(content):
        inner = INSIDE[name].get(field.number) if field.kind == BYTES else None
        if inner is None:
            parts.append(field.whole)
        else:
            parts.append(_packed(field.number, _message(field.content, inner, read, depth + 1)))
    return b"".join(parts)


def _tensor(content: memoryview, read: Read) -> bytes:
    fields = list(_fields(content))
    entries = dict(_entry(field.content) for field in fields if (field.number, field.kind) == (EXTERNAL, BYTES))
    if not entries:
        return bytes(content)
    kept = b"".join(field.whole for field in fields if field.number not in (RAW, EXTERNAL, LOCATION))
    return kept + _packed(RAW, _external(entries, read))


def _external(entries: dict[str, str], read: Read) -> bytes:
    """The bytes that ``location``, ``offset`` and ``length`` name."""
    location = entries.get("location", "")
    try:
        offset, length = int(entries.get("offset", "0")), int(entries.get("length", "-1"))
    except ValueError as error:
        raise ModelFileError("a tensor's place in its file of weights is no number") from error
    file = read(location)
    end = len(file) if length < 0 else offset + length
    if not 0 <= offset <= end <= len(file):
        raise ModelFileError(f"the file of weights {location} is shorter than the model says")
    return file[offset:end]


def _entry(content: memoryview) -> tuple[str, str]:
    texts = {field.number: bytes(field.content).decode(errors="replace") for field in _fields(content)}
    return texts.get(KEY, ""), texts.get(VALUE, "")


def _fields(content: memoryview) -> Iterator[_Field]:
    at = 0
    while at < len(content):
        tag, start = _varint(content, at)
        begin, end = _extent(content, start, tag & 7)
        if end > len(content):
            raise ModelFileError("it is no ONNX model: it ends too early")
        yield _Field(tag >> 3, tag & 7, content[at:end], content[begin:end])
        at = end


def _extent(content: memoryview, start: int, kind: int) -> tuple[int, int]:
    """Where the content of a field begins and ends."""
    match kind:
        case 0:
            return start, _varint(content, start)[1]
        case 1:
            return start, start + 8
        case 2:
            length, begin = _varint(content, start)
            return begin, begin + length
        case 5:
            return start, start + 4
    raise ModelFileError("it is no ONNX model")


def _varint(content: memoryview, at: int) -> tuple[int, int]:
    """(number, where it ends)."""
    number = 0
    for count, byte in enumerate(content[at : at + 10]):
        number |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            return number, at + count + 1
    raise ModelFileError("it is no ONNX model: it ends too early")


def _packed(number: int, content: bytes) -> bytes:
    return _number(number << 3 | BYTES) + _number(len(content)) + content


def _number(value: int) -> bytes:
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    made.append(value)
    return bytes(made)
