"""The conditions of batch runs: what is read is what was meant, and no text becomes SQL."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlpatterns.stores.batch.sql import SqlSource
from mlpatterns.stores.batch.sqlite import SqliteDatabase
from mlpatterns.stores.batch.table import TablePlace
from mlpatterns.stores.batch.where import Comparison, matches, parse_where
from mlpatterns.user_errors import SettingsError, UnknownName

OPS = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])
NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=12)
NUMBERS = st.integers(-(2**62), 2**62) | st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
COMPARISONS = st.builds(Comparison, NAMES, OPS, NUMBERS | TEXTS) | st.builds(
    Comparison, NAMES, st.sampled_from(["=", "!="]), st.none()
)


@given(st.lists(COMPARISONS, min_size=1, max_size=4))
@settings(max_examples=80, deadline=None)
def test_what_is_written_is_read_as_it_was_meant(conditions: list[Comparison]) -> None:
    assert parse_where(" and ".join(map(str, conditions))) == tuple(conditions)


@given(st.text(max_size=60))
@settings(max_examples=80, deadline=None)
def test_any_text_is_conditions_or_one_sentence(text: str) -> None:
    with suppress(SettingsError):
        found = parse_where(text)
        assert parse_where(" and ".join(map(str, found))) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ()),
        ("   ", ()),
        ("a=1", (Comparison("a", "=", 1),)),
        ("a <> -1.5e3", (Comparison("a", "!=", -1500.0),)),
        ("art = 'it''s' AND \"b c\" >= .5", (Comparison("art", "=", "it's"), Comparison("b c", ">=", 0.5))),
        ("größe != NULL", (Comparison("größe", "!=", None),)),
        ("a = 99999999999999999999", (Comparison("a", "=", 1e20),)),
    ],
)
def test_the_ways_to_write_a_condition(text: str, found: tuple[Comparison, ...]) -> None:
    assert parse_where(text) == found


@pytest.mark.parametrize(
    "text",
    ["a", "a =", "= 1", "a = b", "a = 1 or b = 2", "a = 1; DROP TABLE items", "a = 1 and", "a < null", "'a' = 1",
     "1 = 1", "a = 1 b = 2", "a = \"b\"", "a = '", "a = 1x", "a like 'b'", "a = (1)", "a = 1 -- b", "a = 'b\0'",
     "a = 1 and " * 900],
)  # fmt: skip
def test_what_is_no_condition_is_refused(text: str) -> None:
    with pytest.raises(SettingsError):
        parse_where(text)


CELLS = st.none() | st.integers(-5, 5) | st.floats(-5, 5)


@given(
    st.lists(st.tuples(CELLS, st.none() | st.sampled_from(["a", "b", "B", "é", "'"])), max_size=12),
    st.sampled_from(["=", "!=", "<", "<=", ">", ">="]),
    st.integers(-5, 5) | st.floats(-5, 5),
    st.sampled_from(["a", "b", "'", "' OR 1=1 --"]),
)
@settings(max_examples=60, deadline=None)
def test_sql_chooses_as_python_does(
    rows: list[tuple[float | None, str | None]], op: str, number: float, text: str
) -> None:
    database = SqliteDatabase(Path(":memory:"), create=True)
    database._connection = apsw.Connection(":memory:")
    database.make(["CREATE TABLE items (id INTEGER PRIMARY KEY, x REAL, name TEXT)"])
    with database.transaction():
        database.insert("items", ["x", "name"], [[x for x, _ in rows], [name for _, name in rows]])
    source = SqlSource(database, TablePlace("", "items"))
    for conditions in ((Comparison("x", op, number),), (Comparison("name", op, text),)):  # type: ignore[arg-type]
        page = source.read(["x"], None, 100, conditions)
        wanted = [key for key, (x, name) in enumerate(rows, 1) if matches(conditions, {"x": x, "name": name})]
        assert (list(page.keys) if page else []) == wanted
        assert source.count(None, conditions) == len(wanted)
    with pytest.raises(UnknownName):
        source.read(["x"], None, 100, (Comparison("x) OR (1", "=", 1),))


def test_cells_of_a_file_count_as_what_they_look_like() -> None:
    row = {"n": "2.5", "empty": "", "word": "blue"}
    for text in ("n > 2", "n = 2.5", "empty = null", "word != null", "word = 'blue'", "n = '2.5'"):
        assert matches(parse_where(text), row), text
    for text in ("n > 3", "empty = 0", "empty != 0", "empty < 'a'", "word > 0", "word = null"):
        assert not matches(parse_where(text), row), text
