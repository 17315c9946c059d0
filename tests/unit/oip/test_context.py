"""Notes and who asks, as they travel between two servers: what comes is checked, whoever sent it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlpatterns.context import Context, Note
from mlpatterns.oip.context import decode_notes, encode_caller, encode_notes, read_caller

MOST = 8192
words = st.text(st.characters(codec="utf-8"), max_size=30)
numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
values = st.none() | st.booleans() | numbers | words | st.lists(words, max_size=3)
keys = st.from_regex(r"[a-z0-9_.-]{1,20}", fullmatch=True).filter(
    lambda key: key not in {"code", "context", "degraded", "prediction-id", "version"}
)
paths = st.lists(st.from_regex(r"[a-z0-9 _.-]{1,8}", fullmatch=True), max_size=3).map(
    lambda p: "".join(f"/{x}" for x in p)
)
notes = st.lists(
    st.builds(lambda path, *rest: Note("served" + path, *rest), paths, keys, values, st.booleans()), max_size=8
)


@given(notes)
def test_notes_arrive_as_they_were_under_the_path_of_who_asked(noted: list[Note]) -> None:
    arrived = list(decode_notes(encode_notes(noted, "served"), "here/part"))
    assert arrived == [Note("here/part" + n.path.removeprefix("served"), n.key, n.value, n.public) for n in noted]


@given(st.lists(st.builds(Note, words, words, st.text(max_size=4000), st.booleans()), max_size=30))
def test_whatever_was_noted_has_room_or_is_counted(noted: list[Note]) -> None:
    text = encode_notes(noted, "served")
    assert len(text.encode(errors="replace")) <= MOST
    said = json.loads(text)
    dropped = said[-1][2] if said and said[-1][1] == "notes_dropped" else 0
    assert len(said) - bool(dropped) + dropped == len(noted)


malformed = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda part: st.lists(part) | st.dictionaries(st.text(), part),
    max_leaves=6,
)


@given(
    malformed
    | malformed.map(json.dumps)
    | st.lists(st.tuples(st.text(), st.text(), malformed, st.booleans())).map(json.dumps)
)
def test_no_answer_of_another_server_breaks_a_request_or_looks_like_a_header_of_ours(said: Any) -> None:
    for note in decode_notes(said, "here"):
        assert note.path == "here" or note.path.startswith("here/")
        assert note.path.isprintable()
        assert set(note.key) <= set("abcdefghijklmnopqrstuvwxyz0123456789_.-")
        assert not (note.public and note.key in {"version", "prediction-id", "degraded", "code", "context"})


@pytest.mark.parametrize(
    "entry",
    [["", "a\r\nx-evil", 1, True], ["", "", 1, True], ["", "Upper", 1, True], ["", "a\n", 1, True], ["x", "k", 1, True],
     ["/\n", "k", 1, False], ["/" + "x" * 512, "k", 1, False], ["", "version", "9", True],
     ["", "prediction-id", "9", True]],
)  # fmt: skip
def test_a_note_that_is_not_right_is_left_away_and_counted(entry: list[Any]) -> None:
    right = ["/a", "k", 1, False]
    assert decode_notes(json.dumps([right, entry]), "here") == [
        Note("here/a", "k", 1),
        Note("here", "notes_dropped", 1),
    ]


@pytest.mark.parametrize("said", [7, True, [], "", "{}", "[", "[[]]", "\ud800", "[" * 5000, f'["{"x" * 9000}"]'])
def test_what_is_no_notes_at_all_is_said(said: Any) -> None:
    assert decode_notes(said, "here") == (Note("here", "notes_dropped", "malformed"),)


def test_no_parameter_is_no_notes() -> None:
    assert decode_notes(None, "here") == ()


def test_a_value_that_json_cannot_say_goes_as_text() -> None:
    (arrived,) = decode_notes(encode_notes([Note("m", "k", 1j)], "m"), "here")
    assert arrived == Note("here", "k", "1j")
    (arrived,) = decode_notes(encode_notes([Note("m", "k", np.array([1]))], "m"), "here")
    assert arrived == Note("here", "k", "array([1])")


def test_a_piece_that_lies_below_another_model_too_keeps_its_path() -> None:
    (arrived,) = decode_notes(encode_notes([Note("iris2/leaf", "k", 1)], "iris"), "here")
    assert arrived.path == "here/iris2/leaf"


@given(
    st.sampled_from(["request", "test", "probe", "replay"]),
    st.none() | st.text(max_size=60),
    st.none() | st.text(max_size=9),
)
def test_who_asks_arrives_beside_the_id_of_the_request(purpose: Any, caller: str | None, id: str | None) -> None:
    header = encode_caller(Context("p", caller_id=caller, purpose=purpose), id)
    assert header.isascii()
    assert header.isprintable()
    found = Context("q", caller_id="their x-request-id")
    read_caller(header.encode(), found)
    assert found.purpose == purpose
    assert found.caller_id == (None if caller == id else caller)


def test_an_id_that_is_too_long_for_a_header_stays() -> None:
    assert encode_caller(Context("p", caller_id="x" * 257), None) == "{}"
