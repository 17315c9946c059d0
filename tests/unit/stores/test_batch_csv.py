"""CSV files of batch runs: any cells come back from any place, and what lies behind a checkpoint is cut off."""

from __future__ import annotations

import csv
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from mlpatterns.errors import Conflict, Unavailable
from mlpatterns.stores.batch import BatchRun, Column, Failure, Page, Results, Shape
from mlpatterns.stores.batch.csv import CsvRows
from mlpatterns.stores.batch.csv_results import CsvResults
from mlpatterns.stores.batch.files import batch_url, file_place
from mlpatterns.user_errors import SettingsError, UnknownName

CELL = st.text(st.characters(exclude_characters="\0\r", exclude_categories=["Cs"]), max_size=8)
ROWS = st.lists(st.tuples(CELL, CELL), min_size=1, max_size=12)
RUN = BatchRun("run", "identity", "model:1")
KEY, COLUMNS = Column("id", "int"), [Column("x", "float")]


def source(folder: Path, text: str | bytes, key: str | None = None) -> CsvRows:
    file = folder / "in.csv"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return CsvRows(file, key)


def read(rows: CsvRows, columns: list[str], limit: int = 100, after: Any = None) -> list[Any]:
    """All rows after a place; then the file is closed."""
    found: list[Any] = []
    with closing(rows):
        while (page := rows.read(columns, after, limit, ())) is not None:
            found += list(zip(page.keys, *page.columns.values(), strict=True))
            after = page.after
    return found


def first(rows: CsvRows, columns: list[str], limit: int = 100) -> Page:
    with closing(rows):
        page = rows.read(columns, None, limit, ())
        assert page is not None
        return page


def shape(rows: CsvRows) -> Shape:
    with closing(rows):
        return rows.shape()


@given(ROWS, st.integers(1, 4))
@settings(max_examples=100, deadline=None)
def test_any_cells_come_back_whatever_the_pages(rows: list[tuple[str, str]], limit: int) -> None:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "in.csv"
        with file.open("w", newline="", encoding="utf-8") as out:
            csv.writer(out, quoting=csv.QUOTE_ALL).writerows([("a", "b"), *rows])
        whole = CsvRows(file, None)
        assert read(whole, ["a", "b"], limit) == [(number, *row) for number, row in enumerate(rows, 1)]
        place = first(CsvRows(file, None), ["a"], limit).after
        rest = read(CsvRows(file, None), ["a"], after=place)  # another process that goes on from there
        assert rest == [(number, a) for number, (a, _) in enumerate(rows[limit:], limit + 1)]


@given(st.binary(max_size=200))
@settings(max_examples=80, deadline=None)
def test_any_bytes_behind_the_header_are_rows(content: bytes) -> None:
    with TemporaryDirectory() as folder:
        found = read(source(Path(folder), b"a,b\n" + content), ["a"], 3)
        assert [key for key, _ in found] == list(range(1, len(found) + 1))


def test_rows_that_are_none_are_told_and_the_others_stay(tmp_path: Path) -> None:
    rows = source(tmp_path, b'id,x\n1,1.5\n2\n3,1,2\n\n4,\xff\n5,"a"b\n6,2.5\n')
    page = first(rows, ["x"])
    assert list(page.keys)[:3] == ["1", "2", "3"]
    assert page.columns["x"][0] == "1.5"
    assert page.columns["x"][-1] == "2.5"
    assert {place: text.split(":")[0] for place, text in page.wrong.items()} == {
        1: "the row has 1 cells, and there are 2 columns",
        2: "the row has 3 cells, and there are 2 columns",
        3: "the row is not UTF-8",
        4: "the row cannot be read",
    }


def test_a_row_whose_key_cannot_be_read_is_told_by_its_number_and_no_text_has_a_zero_byte(tmp_path: Path) -> None:
    page = first(source(tmp_path, b'x,id\n1\n2\n3,"c"d\n4,e\0\n\0,f\n5,g\n6,"h\n'), ["x"])
    assert page.keys == ["row 1", "row 2", "row 3", "row 4", "f", "g", "row 7"]
    assert sorted(page.wrong) == [0, 1, 2, 3, 4, 6]
    assert page.wrong[6] == "the row cannot be read: unexpected end of data"
    assert page.wrong[3] == page.wrong[4] == "the row has a zero byte, which text does not have"


def test_a_row_that_cannot_be_read_is_none_in_a_file_of_one_column_too(tmp_path: Path) -> None:
    page = first(source(tmp_path, 'x\n1\n"a"b\n2\n'), ["x"])
    assert (page.keys, list(page.wrong)) == ([1, 2, 3], [1])


@pytest.mark.parametrize("text", ["", "\n", "a,a\n", "a,\n", b"\xff\xfe"])
def test_a_file_without_names_of_columns_is_refused(tmp_path: Path, text: Any) -> None:
    with pytest.raises(SettingsError):
        shape(source(tmp_path, text))


def test_the_key_is_the_column_asked_for_else_id_else_the_number_of_the_row(tmp_path: Path) -> None:
    assert read(source(tmp_path, "id,x\n7,1\n"), ["x"]) == [("7", "1")]
    assert read(source(tmp_path, "n,x\n7,1\n"), ["x"]) == [(1, "1")]
    assert read(source(tmp_path, "n,x\n7,1\n", "n"), ["x"]) == [("7", "1")]
    assert shape(source(tmp_path, "\ufeffid,x\n7,1\n")).key == Column("id", "text")
    with pytest.raises(UnknownName):
        shape(source(tmp_path, "n,x\n7,1\n", "m"))


def test_a_file_that_has_changed_has_another_digest(tmp_path: Path) -> None:
    digests = {shape(source(tmp_path, f"x\n{text}\n")).digest for text in ("1", "2", "11", "1" * 200_000)}
    assert len(digests) == 4


# ---- results -----------------------------------------------------------------------------------------------------


def written(file: Path) -> BatchRun:
    """A run that was stopped after two rows and a failure."""
    sink = CsvResults(file)
    run = sink.begin(RUN, KEY, COLUMNS, anew=False)
    run = sink.write(run, Results([1, 2], {"x": [0.5, 1.5]}, [Failure(3, "INVALID", "no")]))
    sink.close()
    return run


def test_what_lies_behind_the_checkpoint_is_cut_off(tmp_path: Path) -> None:
    file = tmp_path / "out.csv"
    run = written(file)
    for name in ("out.csv.part", "out.errors.csv"):
        with (tmp_path / name).open("ab") as half:
            half.write(b"4,half a row")
    sink = CsvResults(file)
    assert sink.load() == run
    sink.finish(sink.write(sink.begin(run, KEY, COLUMNS, anew=False), Results([4], {"x": [2.0]})))
    assert file.read_text() == "id,x\n1,0.5\n2,1.5\n4,2.0\n"
    assert (tmp_path / "out.errors.csv").read_text() == "id,code,error\n3,INVALID,no\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.csv", "out.csv.run.json", "out.errors.csv"]


def test_a_run_that_was_killed_before_its_file_got_its_name_is_finished(tmp_path: Path) -> None:
    file = tmp_path / "out.csv"
    sink = CsvResults(file)
    sink._rename = lambda: None  # type: ignore[method-assign]
    sink.finish(sink.begin(RUN, KEY, COLUMNS, anew=False))
    assert not file.exists()
    assert CsvResults(file).load() is not None
    assert file.read_text() == "id,x\n"


def test_a_new_run_that_was_killed_at_once_leaves_the_old_results(tmp_path: Path) -> None:
    file = tmp_path / "out.csv"
    sink = CsvResults(file)
    done = sink.finish(sink.write(sink.begin(written(file), KEY, COLUMNS, anew=False), Results([4], {"x": [2.0]})))
    before = file.read_text()
    (tmp_path / "out.csv.part").touch()
    assert CsvResults(file).load() == done
    assert file.read_text() == before


def test_results_that_were_taken_away_are_made_anew(tmp_path: Path) -> None:
    file = tmp_path / "out.csv"
    sink = CsvResults(file)
    sink.finish(sink.begin(written(file), KEY, COLUMNS, anew=False))
    file.unlink()
    assert CsvResults(file).load() is None
    with closing(CsvResults(file)) as again:
        again.begin(RUN, KEY, COLUMNS, anew=False)


def test_a_part_that_is_too_short_is_said(tmp_path: Path) -> None:
    run = written(tmp_path / "out.csv")
    (tmp_path / "out.csv.part").write_text("id")
    with pytest.raises(Unavailable, match="shorter"):
        CsvResults(tmp_path / "out.csv").begin(run, KEY, COLUMNS, anew=False)


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff", b'{"run": 1, "sizes": {}}'])
def test_a_checkpoint_that_is_none_is_said(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "out.csv.run.json").write_bytes(content)
    with pytest.raises(Unavailable, match="not a checkpoint"):
        CsvResults(tmp_path / "out.csv").load()


def test_a_second_writer_and_an_old_revision_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "out.csv"
    run = written(file)
    sink = CsvResults(file)
    sink.begin(run, KEY, COLUMNS, anew=False)
    with pytest.raises(Conflict):
        CsvResults(file).begin(run, KEY, COLUMNS, anew=False)
    sink.close()
    with pytest.raises(Conflict):
        CsvResults(file).begin(replace(run, revision=1), KEY, COLUMNS, anew=False)


@pytest.mark.parametrize("text", ["table", "in.txt", "in", ""])
def test_what_is_neither_a_url_nor_a_known_file_is_refused(text: str) -> None:
    with pytest.raises(SettingsError):
        batch_url(text)


def test_a_path_becomes_a_url_and_is_found_again(tmp_path: Path) -> None:
    odd = tmp_path / "50% of #1, what?" / "in.csv"
    assert file_place(batch_url(str(odd).replace("?", ""))) == (Path(str(odd).replace("?", "")), None)
    assert file_place(f"{batch_url(str(tmp_path / 'x.parquet'))}?key=a%20b") == (tmp_path / "x.parquet", "a b")
    for wrong in ("csv://", "csv:///x.csv?table=y", "csv:///x.csv?key="):
        with pytest.raises(SettingsError):
            file_place(wrong)
