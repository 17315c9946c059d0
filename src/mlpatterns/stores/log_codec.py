"""Records of predictions as lines of JSON, for files, databases and standard output."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, overload

import msgspec
import numpy as np
from msgspec.structs import replace

from mlpatterns.context import Note
from mlpatterns.errors import PredictionError
from mlpatterns.stores.log import Record

__all__ = ["EncodedRecords", "Line", "decode_record", "encode_record", "lines_of"]

Line = tuple[str, float, str, bytes]  # prediction_id, at and path of a record, and the record

LONGEST = 1000  # characters of a value that had to be converted to text

_UNSAYABLE = (TypeError, ValueError, OverflowError, RecursionError, PredictionError)


def encode_record(record: Record) -> bytes:
    """One line of JSON without a line end. Fields with default values are left out. NaN and infinity become null.

    It never fails. Values that JSON cannot express become text. If that is not enough, inputs and outputs are left out.
    """
    try:
        return _encoder.encode(record)
    except _UNSAYABLE:
        notes = tuple(Note(note.path, note.key, _text(note.value), note.public) for note in record.notes)
    texts = {name: _text(value) for name in _TEXTS if (value := getattr(record, name)) is not None}
    for less in ({"notes": notes}, {"inputs": None, "outputs": None}, texts):
        record = replace(record, **less)
        try:
            return _encoder.encode(record)
        except _UNSAYABLE:
            continue
    raise AssertionError("texts of ASCII are JSON")


def decode_record(line: bytes | str) -> Record:
    """The record of a line.

    Raises:
        msgspec.MsgspecError: the line is not a record.
    """
    return _decoder.decode(line)


class EncodedRecords(Sequence[Record]):
    """Records that are available as lines, so that a sink that writes lines need not decode and encode them."""

    def lines(self) -> Iterator[Line]:
        raise NotImplementedError

    def __iter__(self) -> Iterator[Record]:
        return (decode_record(line) for _, _, _, line in self.lines())

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Record]: ...
    def __getitem__(self, index: int | slice) -> Record | Sequence[Record]:
        return list(self)[index]


def lines_of(records: Sequence[Record]) -> Iterator[Line]:
    """The records as lines. This takes time: call it in a thread."""
    if isinstance(records, EncodedRecords):
        return records.lines()
    return ((record.prediction_id, record.at, record.path, encode_record(record)) for record in records)


_TEXTS = ("prediction_id", "path", "model", "version", "identity", "caller_id", "principal", "code", "error")


def _text(value: Any) -> str:
    try:
        text = str(value)
    except Exception:  # `__str__` of a user's class may raise anything
        text = type(value).__name__
    return text[:LONGEST].encode("ascii", "backslashreplace").decode()


def _plain(value: Any) -> Any:
    """Converts values in notes that JSON does not support: NumPy values to lists or numbers, others to text."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    return _text(value)


_encoder = msgspec.json.Encoder(enc_hook=_plain)
_decoder = msgspec.json.Decoder(Record)
