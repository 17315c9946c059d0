"""Target files and CSVs: read as they are meant, and each mistake is one sentence that names its line."""

from __future__ import annotations

import csv
import io
import re
import string
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlpatterns.load.files import csv_bodies, parse_targets, read_file, read_targets
from mlpatterns.load.target import METHODS, Target
from mlpatterns.user_errors import UserError

HERE = Path("/nowhere")
NAMES = st.text(string.ascii_letters + string.digits + "-", min_size=1, max_size=12).filter(
    lambda name: name.lower() not in {"content-length", "transfer-encoding", "connection", "expect", "upgrade"}
)
VALUES = st.text(string.ascii_letters + string.digits + ":;/@#=, ", min_size=1).map(str.strip).filter(bool)
TARGETS = st.builds(
    lambda path, method, headers: Target(f"http://127.0.0.1:8000/{path}", method, tuple(headers)),
    st.text(string.ascii_letters + string.digits + "/?=&%.", max_size=12),
    st.sampled_from(METHODS),
    st.lists(st.tuples(NAMES, VALUES), max_size=3),
)


def written(target: Target) -> str:
    return "\n".join([f"{target.method} {target.url}", *(f"{name}: {value}" for name, value in target.headers)])


@settings(max_examples=100)
@given(st.lists(TARGETS, min_size=1, max_size=4), st.sampled_from(["\n", "\n\n", "\r\n\r\n", "\n# a remark\n\n\n"]))
def test_what_is_written_is_read(targets: list[Target], between: str) -> None:
    assert parse_targets(between.join(map(written, targets)), "file", HERE) == targets


@settings(max_examples=200)
@given(st.text(st.sampled_from("GETPOS http://1.2:3@#\n\r\t\0é"), max_size=60) | st.text(max_size=60))
def test_whatever_is_in_the_file_it_is_targets_or_one_sentence(text: str) -> None:
    try:
        found = parse_targets(text, "file", HERE)
    except UserError:
        return
    assert found
    assert all(target.wire().count(b"\r\n\r\n") == 1 for target in found)


def test_the_books_target_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "data.json").write_bytes(b'{"data": [[1.0, 2.0, 3.0, 4.0]]}')
    (tmp_path / "post-target").write_text(
        "POST http://iris-svc.load-test.svc.cluster.local:8000/predict\nContent-Type: application/json\n@data.json\n"
    )
    (target,) = read_targets(tmp_path / "post-target")
    assert (target.method, target.headers) == ("POST", (("Content-Type", "application/json"),))
    assert target.body == b'{"data": [[1.0, 2.0, 3.0, 4.0]]}'


def test_a_target_ends_with_its_body(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"A")
    text = "POST http://127.0.0.1/1\n@a\nGET http://127.0.0.1/2\nPOST http://127.0.0.1/3\nx: y\n@a"
    assert [(t.method, t.body) for t in parse_targets(text, "f", tmp_path)] == [
        ("POST", b"A"), ("GET", b""), ("POST", b"A"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no target"),
        ("# only a remark\n", "has no target"),
        ("GET", "line 1: '' is not an address"),
        ("\nget http://127.0.0.1/", "line 2: 'get' is not a method"),
        ("FETCH http://127.0.0.1/", "'FETCH' is not a method"),
        ("GET http://127.0.0.1/ HTTP/1.1", "is not an address"),
        ("GET /predict", "'/predict' is not an address"),
        ("GET file:///etc/passwd", "is not an address"),
        ("GET http://127.0.0.1/\nno colon", "'no colon' is not a header"),
        ("GET http://127.0.0.1/\nempty:", "'empty:' is not a header"),
        ("GET http://127.0.0.1/\nbad name: x", "'bad name' is not a header name"),
        ("GET http://127.0.0.1/\nx: \x01", "has a character that no header may have"),
        ("GET http://127.0.0.1/\nContent-Length: 5", "is set by the generator"),
        ("GET http://127.0.0.1/\nTransfer-Encoding: chunked", "is set by the generator"),
        ("POST http://127.0.0.1/\n@", "write the body's file after the @"),
        ("POST http://127.0.0.1/\n@nothing", "cannot be read: No such file or directory"),
        ("POST http://127.0.0.1/\n@a\0b", "write the body's file"),
    ],
)
def test_a_mistake_is_one_sentence_that_names_the_line(text: str, said: str) -> None:
    with pytest.raises(UserError, match=re.escape(said)) as caught:
        parse_targets(text, "file", HERE)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_utf8_or_too_large_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "f").write_bytes(b"GET http://127.0.0.1/\xff")
    with pytest.raises(UserError, match="is not UTF-8"):
        read_targets(tmp_path / "f")
    monkeypatch.setattr("mlpatterns.load.files.MOST_BYTES", 3)
    with pytest.raises(UserError, match="is larger than"):
        read_file(tmp_path / "f")
    with pytest.raises(UserError, match="cannot be read"):
        read_file(tmp_path)


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0\ufeff"), min_size=1, max_size=8).map(str.strip)


@settings(max_examples=100)
@given(st.integers(2, 4).flatmap(lambda width: st.lists(st.lists(CELLS, min_size=width, max_size=width), min_size=1)))
def test_every_row_of_a_csv_is_one_body(rows: list[list[str]]) -> None:
    rows = [["0", *row] for row in rows]  # so that the first is no header
    file = io.StringIO(newline="")
    csv.writer(file).writerows(rows)
    bodies = [msgspec.json.decode(body)["data"][0] for body in csv_bodies(file.getvalue().encode(), "f")]
    assert [[str(cell) if isinstance(cell, str) else float(cell) for cell in row] for row in bodies] == [
        [cell if isinstance(shown, str) else float(cell) for cell, shown in zip(row, body, strict=True)]
        for row, body in zip(rows, bodies, strict=True)
    ]


@pytest.mark.parametrize(
    ("content", "bodies"),
    [
        (b"5.1,3.5\n6,2e1\n", [b'{"data":[[5.1,3.5]]}', b'{"data":[[6,20.0]]}']),
        (b"length,width\n5.1,3.5\n", [b'{"data":[{"length":5.1,"width":3.5}]}']),
        (b"\xef\xbb\xbflength\r\n5.1\r\n", [b'{"data":[{"length":5.1}]}']),
        (b"0000\n0007\n", [b'{"data":["0000"]}', b'{"data":["0007"]}']),
        (b'1,"a,b"\n', [b'{"data":[[1,"a,b"]]}']),
        (b"1,\n", [b'{"data":[[1,""]]}']),
        ("\u0663,1e999\n".encode(), ['{"data":[["\u0663","1e999"]]}'.encode()]),
        (b"1\n\n2\n", [b'{"data":[[1]]}', b'{"data":[[2]]}']),
    ],
)
def test_numbers_names_and_keys_of_a_csv(content: bytes, bodies: list[bytes]) -> None:
    assert csv_bodies(content, "f") == bodies


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "rows.csv has no row"),
        (b"\n\n", "rows.csv has no row"),
        (b"length,width\n", "no row below its column names"),
        (b"length,length\n1,2\n", "names a column twice"),
        (b"1,2\n3\n", "has 2 columns, but 1 in its row 2"),
        (b"\xff\n", "is not CSV in UTF-8"),
        (b'"1', "is not CSV in UTF-8"),
    ],
)
def test_what_is_no_table_is_one_sentence(content: bytes, said: str) -> None:
    with pytest.raises(UserError, match=said):
        csv_bodies(content, "rows.csv")
