"""drift: two tables compared, what its exit code says, and each way in which a file can be wrong."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlpatterns.cli.tables import read_table, typed
from mlpatterns.user_errors import TableError
from unit.cli.conftest import Command

RANDOM = np.random.default_rng(0)


def write(name: str, rows: int = 200, *, seed: int = 0, moved: float = 0.0, colours: str = "rgb") -> str:
    random = np.random.default_rng(seed)
    lines = ["length,width,colour"]
    for length, width, colour in zip(random.normal(5 + moved, 1, rows), random.normal(3, 1, rows),
                                     random.choice(list(colours), rows), strict=True):  # fmt: skip
        lines.append(f"{length:.3f},{width:.3f},{colour}")
    Path(name).write_text("\n".join(lines))
    return name


def test_tables_alike_exit_0(mlpatterns: Command) -> None:
    done = mlpatterns("drift", write("ref.csv"), write("now.csv", seed=1))
    assert done.code == 0
    assert "nothing has drifted: 200 rows against 200" in done.out
    assert done.out.count("same") == 3


def test_a_drift_exits_1_and_names_the_column(mlpatterns: Command) -> None:
    done = mlpatterns("drift", write("ref.csv"), write("now.csv", seed=1, moved=1.0, colours="gb"))
    assert done.code == 1
    assert "length, colour has drifted" in done.out
    assert [line.split()[1] for line in done.out.splitlines() if line.startswith("DRIFTED")] == ["length", "colour"]


def test_json_has_every_test_with_effect_and_p(mlpatterns: Command) -> None:
    done = mlpatterns("drift", write("ref.csv"), write("now.csv", seed=1, moved=1.0), "--json")
    found = json.loads(done.out)
    assert (done.code, found["drifted"], found["rows"]) == (1, ["length"], 200)
    tests = found["fields"][0]["tests"]
    assert [test["name"] for test in tests] == ["psi", "ks"]
    assert all(test["p"] < 0.001 and test["effect"] > 0.1 and test["drifted"] for test in tests)


def test_parquet_is_read_as_csv_is(mlpatterns: Command) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    reference, now = write("ref.csv"), write("now.csv", seed=1, moved=1.0)
    for name in (reference, now):
        with Path(name).open() as file:
            rows = list(csv.DictReader(file))
        columns = {"length": pa.array([float(row["length"]) for row in rows], pa.float32()),
                   "width": pa.array([float(row["width"]) for row in rows]),
                   "colour": pa.array([row["colour"] for row in rows]).dictionary_encode()}  # fmt: skip
        parquet.write_table(pa.table(columns), Path(name).with_suffix(".parquet"))
    done = mlpatterns("drift", "ref.parquet", "now.parquet")
    assert (done.code, done.out) == (1, mlpatterns("drift", reference, now).out)
    mixed = mlpatterns("drift", reference, "now.parquet")
    assert mixed.code == 1
    parquet.write_table(pa.table({"x": [[1, 2], [3]]}), "nested.parquet")
    assert "holds list<element: int64>; only numbers and text" in mlpatterns("drift", "nested.parquet", now).err
    Path("torn.parquet").write_bytes(Path("ref.parquet").read_bytes()[:100])
    assert mlpatterns("drift", "torn.parquet", now).err == (
        "mlpatterns: torn.parquet is not a Parquet file that can be read\n"
    )


def test_columns_are_ignored_or_taken_for_categories_when_told_so(mlpatterns: Command) -> None:
    reference, now = write("ref.csv"), write("now.csv", seed=1, moved=1.0)
    assert mlpatterns("drift", reference, now, "--ignore", "length").code == 0
    Path("codes.csv").write_text("zip\n" + "\n".join(RANDOM.choice(["1000", "2000"], 100)))
    Path("later.csv").write_text("zip\n" + "\n".join(RANDOM.choice(["1000", "9000"], 100)))
    done = mlpatterns("drift", "codes.csv", "later.csv", "--category", "zip")
    assert "new values: '9000'" in done.out
    assert "no column of codes.csv is left" in mlpatterns("drift", "codes.csv", "later.csv", "--ignore", "zip").err
    assert "has no column 'zap'; it has zip" in mlpatterns("drift", "codes.csv", "later.csv", "--ignore", "zap").err


def test_a_column_that_broke_is_told(mlpatterns: Command) -> None:
    write("now.csv", seed=1)
    lines = Path("now.csv").read_text().splitlines()
    Path("now.csv").write_text("\n".join([lines[0], *("," + line.partition(",")[2] for line in lines[1:])]))
    assert "all values are missing" in mlpatterns("drift", write("ref.csv"), "now.csv").out
    Path("now.csv").write_text("\n".join([lines[0], *("n.n.," + line.partition(",")[2] for line in lines[1:])]))
    assert "200 of 200 values are not numbers" in mlpatterns("drift", "ref.csv", "now.csv").out


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty; its first line must name the columns"),
        (b"\n\n", "is empty; its first line must name the columns"),
        (b"a,b\n", "has no rows"),
        (b"a,b\n1,2\n3\n", "line 3 of bad.csv has 1 values, and the first line names 2 columns"),
        (b"a,b\n1,2,3\n", "line 2 of bad.csv has 3 values"),
        (b"a,a\n1,2\n", "has two columns called 'a'; rename one"),
        (b"a,\n1,2\n", "column 2 of bad.csv has no name"),
        (b"1,2\n3,4\n", "the first line of bad.csv holds numbers; it must name the columns"),
        (b"a\n1\nhigh\n", "the column 'a' of bad.csv mixes numbers and text, such as 'high' in line 3"),
        (b"a\n1\ninf\n", "the column 'a' of bad.csv has infinite values, 1 in all"),
        (b"a,b\n,1\n,2\n", "the column 'a' of bad.csv has no values; --ignore a leaves it out"),
        (b"caf\xe9\n1\n", "bad.csv is not UTF-8 text"),
        ("a,b\n1,2\n".encode("utf-16"), "bad.csv is not UTF-8 text"),
        (b'a\n"1\n', "bad.csv is not CSV"),
        pytest.param(b"a\n" + b"9" * 120_000, "line 2 of bad.csv has a value of more than 100000 char", id="long"),
        (None, "bad.csv cannot be read: no such file or directory"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_one_sentence_and_exit_2(mlpatterns: Command, content: bytes | None, said: str) -> None:
    if content is not None:
        Path("bad.csv").write_bytes(content)
    done = mlpatterns("drift", "bad.csv", write("now.csv"), "--ignore", "length") if content is None else (
        mlpatterns("drift", "bad.csv", "bad.csv")
    )  # fmt: skip
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert said in done.err


def test_columns_that_differ_are_named(mlpatterns: Command) -> None:
    Path("now.csv").write_text("length,height\n1,2\n")
    done = mlpatterns("drift", write("ref.csv"), "now.csv")
    assert (done.code, done.err) == (
        2,
        "mlpatterns: now.csv lacks 'width', 'colour', which ref.csv has; --ignore leaves one out\n",
    )
    Path("more.csv").write_text("".join(f"{line},more\n" for line in Path("ref.csv").read_text().splitlines()))
    done = mlpatterns("drift", "ref.csv", "more.csv")
    assert done.err == "columns of more.csv that are not in ref.csv are left out: more\n"


@pytest.mark.parametrize("text", ["a;b\n1,5;x\n2,5;y\n", "\ufeffa\tb\r\nNA\tx\r\n1\ty\r\n", 'a,b\n"1","x, y"\n,z\n'])
def test_usual_kinds_of_csv_are_read(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.csv").write_bytes(text.encode())
    table = read_table(tmp_path / "x.csv")
    assert list(table.columns) == ["a", "b"]
    assert table.rows == 2


cells = st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False), st.text("ab \"\n,;'é", max_size=4))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 3).flatmap(lambda n: st.lists(st.lists(cells, min_size=n, max_size=n), min_size=1, max_size=8)))
def test_what_was_written_is_what_is_read(tmp_path: Path, rows: list[list[object]]) -> None:
    """Texts are stripped, and blanks are missing."""
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow([f"c{i}" for i in range(len(rows[0]))])
    writer.writerows([["" if cell is None else cell for cell in row] for row in rows])
    (tmp_path / "x.csv").write_text(file.getvalue(), newline="")
    table = read_table(tmp_path / "x.csv")
    read = [list(row) for row in zip(*table.columns.values(), strict=True)]
    wanted = [[(cell.strip() or None) if isinstance(cell, str) else cell for cell in row] for row in rows]
    assert read == wanted


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=60), st.sampled_from(["x.csv", "x.parquet"]))
def test_any_bytes_are_a_table_or_one_sentence(tmp_path: Path, content: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(content)
    said = ""
    try:
        table = read_table(tmp_path / name)
        assert sum(column.rows for column in typed(table, {}).values()) == table.rows * len(table.columns)
    except TableError as error:
        said = str(error)
    assert "\n" not in said
