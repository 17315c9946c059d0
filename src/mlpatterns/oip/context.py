"""What of a Context travels between two servers of mlpatterns: who asks goes there, and what was noted comes back.

A server that serves one part of a system (`run --service NAME`) has the other parts as its callers, so it believes the
header and gives all notes. Every other server may be asked by anyone: it ignores what the header says, and gives only
the notes that callers see anyway, those that are public.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from mlpatterns.context import Context, Note, Purpose
from mlpatterns.errors import InvalidInput
from mlpatterns.oip.wire import MALFORMED, parse, sentence
from mlpatterns.predictor import InferenceResponse

__all__ = ["HEADER", "NOTES", "decode_notes", "encode_caller", "encode_notes", "read_caller", "with_notes"]

HEADER = "x-mlp-context"
"""The request header that asks for notes and says who asks."""
NOTES = "mlp_notes"
"""The parameter of an answer that holds them."""

MOST_BYTES = 8192  # of all notes of one answer
LONGEST_ID, LONGEST_PATH, MOST_NESTING = 256, 512, 8
DROPPED = "notes_dropped"
_KEY = re.compile(r"[a-z0-9_.-]{1,64}")  # a public note is a header
_TAKEN = {"code", "context", "degraded", "prediction-id", "version"}  # headers that a note must not look like


class Asker(Struct, frozen=True):
    """Who asks, as far as it travels."""

    purpose: Purpose = "request"
    caller_id: str | None = None


class Entry(Struct, array_like=True, frozen=True):
    """One note; its path is below that of the served model."""

    path: str
    key: str
    value: Any
    public: bool


_read_asker = msgspec.json.Decoder(Asker).decode
_entries = msgspec.json.Decoder(list[Entry])


# ---- who asks ----------------------------------------------------------------------------------------------------


def encode_caller(context: Context, id: str | None) -> str:
    """The value of the header.

    Args:
        id: of the request, which travels by itself.
    """
    said: dict[str, str] = {} if context.purpose == "request" else {"purpose": context.purpose}
    caller = context.caller_id
    if caller is not None and caller != id and len(caller) <= LONGEST_ID:
        said["caller_id"] = caller
    return json.dumps(said)  # in ASCII, as headers are


def read_caller(header: bytes, context: Context) -> None:
    """Puts what the header says into `context`.

    Raises:
        InvalidInput: the header is malformed.
    """
    try:
        asker = _read_asker(header)
    except MALFORMED as error:
        raise InvalidInput(f"the header {HEADER} is not right: {sentence(error)}") from None
    context.purpose, context.caller_id = asker.purpose, asker.caller_id


# ---- what was noted ----------------------------------------------------------------------------------------------


def with_notes(response: InferenceResponse, notes: Iterable[Note], served: str) -> InferenceResponse:
    """`response` with its notes among the parameters; see `encode_notes`."""
    return replace(response, parameters={**response.parameters, NOTES: encode_notes(notes, served)})


def encode_notes(notes: Iterable[Note], served: str) -> str:
    """`notes` in order, as JSON of at most 8 KiB, and how many had no room in it.

    Args:
        served: the path of the served model, which is left away: the caller has another for it.
    """
    parts: list[bytes] = []
    room, dropped = MOST_BYTES - 64, 0  # 64: for how many were dropped
    for note in notes:
        below = note.path == served or note.path.startswith(f"{served}/")
        path = note.path[len(served) :] if below else f"/{note.path}"
        part = _encoded(Entry(path, note.key, note.value, note.public))
        if len(part) >= room:
            dropped += 1
            continue
        room -= len(part) + 1
        parts.append(part)
    if dropped:
        parts.append(_encoded(Entry("", DROPPED, dropped, False)))
    return f"[{b','.join(parts).decode()}]"


def decode_notes(said: object, where: str) -> Sequence[Note]:
    """The notes of another server's answer, under the path `where`. What is not right is left away and counted.

    Args:
        said: the parameter, or None if there is none.
    """
    if said is None:
        return ()
    if not isinstance(said, str) or len(said.encode(errors="replace")) > MOST_BYTES:
        return (Note(where, DROPPED, "malformed"),)
    try:
        entries = parse(_entries, said.encode(), "it", MOST_NESTING)
    except (InvalidInput, UnicodeEncodeError):
        return (Note(where, DROPPED, "malformed"),)
    notes = [Note(where + entry.path, entry.key, entry.value, entry.public) for entry in entries if _is_right(entry)]
    if len(notes) < len(entries):
        notes.append(Note(where, DROPPED, len(entries) - len(notes)))
    return notes


def _is_right(entry: Entry) -> bool:
    path = entry.path
    return (
        (not path or path[0] == "/")
        and len(path) <= LONGEST_PATH
        and path.isprintable()
        and _KEY.fullmatch(entry.key) is not None
        and not (entry.public and entry.key in _TAKEN)
    )


def _encoded(entry: Entry) -> bytes:
    """The JSON of `entry`; a value that JSON cannot say goes as text."""
    try:
        return msgspec.json.encode(entry)
    except (TypeError, ValueError, OverflowError, RecursionError):
        return msgspec.json.encode(replace(entry, value=ascii(entry.value)[:LONGEST_ID]))
