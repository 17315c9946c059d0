"""Reads the records of the CIFAR archives without unpickling, so that any input gives plain data or an error.

The records are pickles of Python 2: a dict of byte strings, integers, lists, and one numpy array of bytes. This module
reads only the pickle operations that such a record needs and refuses all others. It never imports or calls a name from
a record. `dump` writes the same operations.
"""

from __future__ import annotations

import math
import pickletools
import warnings
from collections.abc import Callable
from struct import pack
from typing import Any

import numpy as np

from mlpatterns.metadata import Array
from mlpatterns.user_errors import UserError

__all__ = ["Record", "dump", "load"]

Record = dict[bytes, Any]
"""Text is bytes, as in Python 2; an array is uint8."""

RECONSTRUCT, NDARRAY, DTYPE = "_reconstruct", "ndarray", "dtype"
NAMES = {
    "numpy.core.multiarray _reconstruct": RECONSTRUCT,
    "numpy._core.multiarray _reconstruct": RECONSTRUCT,
    "numpy ndarray": NDARRAY,
    "numpy dtype": DTYPE,
}
KINDS = {bytes: "text", int: "a number", list: "a list", tuple: "a tuple", dict: "a dict"}


class _Name(str):
    """One of the names that a record may contain; a separate type, so that text cannot be taken for a name."""


class _Refused(ValueError):
    """A record cannot be read; the user sees the text of this error."""


class _Mark:
    """Marks the beginning of a list, dict or tuple on the stack."""


def load(content: bytes, name: str) -> Record:
    """Reads a record.

    Args:
        content: the bytes of the file; their number bounds the work.
        name: the name of the file, for the error.

    Raises:
        UserError: it is not such a record, or contains anything but data.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in a string are accepted
            found = _Reader().read(content)
        if not isinstance(found, dict):
            raise _Refused("it holds no dict")
        return found
    except (ValueError, TypeError, IndexError, KeyError, AttributeError, OverflowError) as error:
        text = str(error) if isinstance(error, _Refused) else "it is damaged"
        raise UserError(f"{name} is not a record of a CIFAR archive: {text}; fetch the archive again") from error


class _Reader:
    """A stack and a memo as in pickle, but only for plain data."""

    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._memo: dict[Any, Any] = {}

    def read(self, content: bytes) -> Any:
        for operation, argument, _ in pickletools.genops(content):
            if operation.name == "STOP":
                return self._stack.pop()
            step = _STEPS.get(operation.name)
            if step is None:
                raise _Refused(f"{operation.name} is not allowed in it")
            step(self, argument)
        raise _Refused("it has no end")

    # ---- values ----

    def push(self, value: Any) -> None:
        self._stack.append(value)

    def text(self, value: str | bytes) -> None:
        self.push(value if isinstance(value, bytes) else value.encode("latin-1"))

    def name(self, text: str) -> None:
        if text not in NAMES:
            raise _Refused(f"{text[:60]!r} is not allowed in it")
        self.push(_Name(NAMES[text]))

    # ---- memo ----

    def put(self, key: Any) -> None:
        self._memo[len(self._memo) if key is None else key] = self._stack[-1]

    def get(self, key: Any) -> None:
        self.push(self._memo[key])

    # ---- containers ----

    def since_mark(self) -> list[Any]:
        """Removes the last mark and the values above it from the stack; returns these values."""
        for place in range(len(self._stack) - 1, -1, -1):
            if self._stack[place] is _Mark:
                found = self._stack[place + 1 :]
                del self._stack[place:]
                return found
        raise _Refused("it ends a list that did not begin")

    def last(self, count: int) -> list[Any]:
        found = [self._stack.pop() for _ in range(count)]
        return found[::-1]

    def extend(self, values: list[Any]) -> None:
        _of(list, self._stack[-1]).extend(values)

    def update(self, values: list[Any]) -> None:
        _of(dict, self._stack[-1]).update(_pairs(values))

    # ---- the array ----

    def reduce(self) -> None:
        """Handles the calls ``_reconstruct(ndarray, (0,), b'b')`` and ``dtype('u1', 0, 1)``, which begin an array and
        its datatype."""
        called, arguments = self.last(2)
        values = _of(tuple, arguments)
        if called is _Mark or not isinstance(called, _Name):
            raise _Refused("it calls something")
        if called == DTYPE and values[0] != b"u1":
            raise _Refused("an array in it is not of bytes")
        if called == RECONSTRUCT and not isinstance(values[0], _Name):
            raise _Refused("it makes something other than an array")
        self.push(_Name(NDARRAY if called == RECONSTRUCT else DTYPE))

    def build(self) -> None:
        """Applies a state: that of an array is (version, shape, datatype, Fortran order, bytes); that of a datatype has
        no effect here."""
        begun, state = self.last(2)
        if begun == NDARRAY and isinstance(begun, _Name):
            self.push(_array(*_of(tuple, state)))
        elif begun == DTYPE and isinstance(begun, _Name):
            self.push(begun)
        else:
            raise _Refused("it sets the state of something other than an array")


def _of(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise _Refused(f"{KINDS[kind]} is missing in it")
    return value


def _array(_version: Any, shape: Any, datatype: Any, fortran: Any, content: Any) -> Array:
    sizes = tuple(_of(int, size) for size in _of(tuple, shape))
    if not isinstance(datatype, _Name) or min(sizes, default=0) < 0 or math.prod(sizes) != len(_of(bytes, content)):
        raise _Refused("an array in it is not whole")
    return np.frombuffer(content, np.uint8).reshape(sizes, order="F" if fortran else "C")


_STEPS: dict[str, Callable[[_Reader, Any], None]] = {
    **dict.fromkeys(("PROTO", "FRAME"), lambda reader, _: None),
    **dict.fromkeys(
        ("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINBYTES",
         "SHORT_BINBYTES"), _Reader.text),
    **dict.fromkeys(("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1"), _Reader.push),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), _Reader.put),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _Reader.get),
    "NONE": lambda reader, _: reader.push(None),
    "NEWTRUE": lambda reader, _: reader.push(True),
    "NEWFALSE": lambda reader, _: reader.push(False),
    "GLOBAL": _Reader.name,
    "STACK_GLOBAL": lambda reader, _: reader.name(" ".join(_of(bytes, part).decode() for part in reader.last(2))),
    "MARK": lambda reader, _: reader.push(_Mark),
    "EMPTY_LIST": lambda reader, _: reader.push([]),
    "LIST": lambda reader, _: reader.push(reader.since_mark()),
    "APPEND": lambda reader, _: reader.extend(reader.last(1)),
    "APPENDS": lambda reader, _: reader.extend(reader.since_mark()),
    "EMPTY_DICT": lambda reader, _: reader.push({}),
    "DICT": lambda reader, _: reader.push(_pairs(reader.since_mark())),
    "SETITEM": lambda reader, _: reader.update(reader.last(2)),
    "SETITEMS": lambda reader, _: reader.update(reader.since_mark()),
    "EMPTY_TUPLE": lambda reader, _: reader.push(()),
    "TUPLE": lambda reader, _: reader.push(tuple(reader.since_mark())),
    "TUPLE1": lambda reader, _: reader.push(tuple(reader.last(1))),
    "TUPLE2": lambda reader, _: reader.push(tuple(reader.last(2))),
    "TUPLE3": lambda reader, _: reader.push(tuple(reader.last(3))),
    "REDUCE": lambda reader, _: reader.reduce(),
    "BUILD": lambda reader, _: reader.build(),
}  # fmt: skip


def _pairs(values: list[Any]) -> Record:
    """Accepts only text as keys: the hash of a deeply nested tuple is recursive and would overflow the stack."""
    return {_of(bytes, key): value for key, value in zip(values[::2], values[1::2], strict=True)}


# ---- writing -----------------------------------------------------------------------------------------------------


def dump(record: Record) -> bytes:
    """The record as a pickle of Python 2, protocol 2: bytes, integers below 2**31, lists, dicts, uint8 arrays."""
    return b"\x80\x02" + _dumped(record) + b"."


def _dumped(value: Any) -> bytes:
    if isinstance(value, bytes):
        return (pack("<cB", b"U", len(value)) if len(value) < 256 else pack("<cI", b"T", len(value))) + value
    if isinstance(value, int):
        return pack("<cB", b"K", value) if 0 <= value < 256 else pack("<ci", b"J", value)
    if isinstance(value, list):
        return b"](" + b"".join(map(_dumped, value)) + b"e"
    if isinstance(value, dict):
        return b"}(" + b"".join(_dumped(key) + _dumped(item) for key, item in value.items()) + b"u"
    return _dumped_array(value)


def _dumped_array(value: Array) -> bytes:
    shape = b"(" + b"".join(_dumped(size) for size in value.shape) + b"t"
    begun = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n" + b"(K\x00tU\x01b\x87R"
    datatype = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    return begun + b"(K\x01" + shape + datatype + b"\x89" + _dumped(value.tobytes()) + b"tb"
