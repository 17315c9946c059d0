"""The part of a Context that mlpatterns servers exchange: the caller in the request, notes in the answer.

The callers of a server that serves one part of a system (`run --service NAME`) are the other parts. This server trusts
their header, and its answers have all notes. Anyone may call any other server. Such a server ignores the content of the
header, and its answers have only the public notes, which every client sees anyway.
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

__all__ = [
    "CONTEXT_HEADER", "NOTES_PARAMETER", "decode_notes", "encode_caller", "encode_notes", "read_caller", "with_notes",
]  # fmt: skip

CONTEXT_HEADER = "x-mlp-context"
"""The request header that names the caller and requests notes in the answer."""
NOTES_PARAMETER = "mlp_notes"
"""The parameter of an answer that contains the notes."""

MOST_BYTES = 8192  # of all notes of one answer
LONGEST_ID, LONGEST_PATH, MOST_NESTING = 256, 512, 8
DROPPED = "notes_dropped"
_KEY = re.compile(r"[a-z0-9_.-]{1,64}")  # a public note is a header
_TAKEN = {"code", "context", "degraded", "prediction-id", "version"}  # the server itself uses the headers of these keys


class CallerHeader(Struct, frozen=True):
    """The caller of a request, in the form of the header."""

    purpose: Purpose = "request"
    caller_id: str | None = None


class EncodedNote(Struct, array_like=True, frozen=True):
    """One note, in the form of the parameter. Its path is relative to the path of the served model."""

    path: str
    key: str
    value: Any
    public: bool


_decode_caller = msgspec.json.Decoder(CallerHeader).decode
_notes_decoder = msgspec.json.Decoder(list[EncodedNote])


# ---- the caller --------------------------------------------------------------------------------------------------


def encode_caller(context: Context, id: str | None) -> str:
    """The value of the header.

    Args:
        id: the id of the request. The header omits a caller id that equals it, because the request contains its own id.
    """
    header: dict[str, str] = {} if context.purpose == "request" else {"purpose": context.purpose}
    caller = context.caller_id
    if caller is not None and caller != id and len(caller) <= LONGEST_ID:
        header["caller_id"] = caller
    return json.dumps(header)  # escapes all characters that are not ASCII, as a header needs


def read_caller(header: bytes, context: Context) -> None:
    """Sets the purpose and the caller id of `context` from the header.

    Raises:
        InvalidInput: the header is malformed.
    """
    try:
        caller = _decode_caller(header)
    except MALFORMED as error:
        raise InvalidInput(f"the header {CONTEXT_HEADER} is not right: {sentence(error)}") from None
    context.purpose, context.caller_id = caller.purpose, caller.caller_id


# ---- notes -------------------------------------------------------------------------------------------------------


def with_notes(response: InferenceResponse, notes: Iterable[Note], served: str) -> InferenceResponse:
    """A copy of `response` with `notes` among its parameters; see `encode_notes`."""
    return replace(response, parameters={**response.parameters, NOTES_PARAMETER: encode_notes(notes, served)})


def encode_notes(notes: Iterable[Note], served: str) -> str:
    """Writes `notes` in order, as JSON of at most 8 KiB. It omits notes that do not fit; the last note counts them.

    Args:
        served: the path of the served model. It is removed from the paths of the notes, because the model has another
            path in the caller's system.
    """
    parts: list[bytes] = []
    room, dropped = MOST_BYTES - 64, 0  # 64 bytes are for the note that counts the omitted ones
    for note in notes:
        below = note.path == served or note.path.startswith(f"{served}/")
        path = note.path[len(served) :] if below else f"/{note.path}"
        part = _encoded(EncodedNote(path, note.key, note.value, note.public))
        if len(part) >= room:
            dropped += 1
            continue
        room -= len(part) + 1
        parts.append(part)
    if dropped:
        parts.append(_encoded(EncodedNote("", DROPPED, dropped, False)))
    return f"[{b','.join(parts).decode()}]"


def decode_notes(parameter: object, where: str) -> Sequence[Note]:
    """Reads the notes in another server's answer. It omits malformed notes; the last note counts them.

    Args:
        parameter: the value of the answer's parameter; None if the answer has none.
        where: the path of the caller's piece. The paths of the notes begin with it.
    """
    if parameter is None:
        return ()
    if not isinstance(parameter, str) or len(parameter.encode(errors="replace")) > MOST_BYTES:
        return (Note(where, DROPPED, "malformed"),)
    try:
        encoded = parse(_notes_decoder, parameter.encode(), "it", MOST_NESTING)
    except (InvalidInput, UnicodeEncodeError):
        return (Note(where, DROPPED, "malformed"),)
    notes = [Note(where + note.path, note.key, note.value, note.public) for note in encoded if _is_valid(note)]
    if len(notes) < len(encoded):
        notes.append(Note(where, DROPPED, len(encoded) - len(notes)))
    return notes


def _is_valid(note: EncodedNote) -> bool:
    path = note.path
    return (
        (not path or path[0] == "/")
        and len(path) <= LONGEST_PATH
        and path.isprintable()
        and _KEY.fullmatch(note.key) is not None
        and not (note.public and note.key in _TAKEN)
    )


def _encoded(note: EncodedNote) -> bytes:
    """The JSON of `note`. A value that JSON cannot express becomes text of at most 256 characters."""
    try:
        return msgspec.json.encode(note)
    except (TypeError, ValueError, OverflowError, RecursionError):
        return msgspec.json.encode(replace(note, value=ascii(note.value)[:LONGEST_ID]))
