"""`mlpatterns batch run`: what it says, and what it refuses with one sentence."""

from __future__ import annotations

import csv
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from mlpatterns.cli import main
from mlpatterns.training import run as train

HEADER = "id,sepal_length,sepal_width,petal_length,petal_width\n"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    train("iris_sklearn_svc", home=folder)
    return folder


@pytest.fixture(autouse=True)
def place(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MLPATTERNS_HOME", str(home))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.csv").write_text(HEADER + "1,5.1,3.5,1.4,0.2\n2,6.7,3.0,5.2,2.3\n3,x,3,5,2\n")
    return tmp_path


def run(*arguments: str) -> int:
    return main(["batch", "run", "--model", "iris_sklearn_svc", *arguments])


def test_a_file_is_predicted_and_what_failed_is_told(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("in.csv", "out.csv") == 0
    out = capsys.readouterr().out
    assert "2 rows predicted, 1 failed, by iris_sklearn_svc:1" in out
    assert "*.errors.csv" in out
    with (place / "out.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["id"], row["label"]) for row in rows] == [("1", "0"), ("2", "2")]
    assert float(rows[0]["probabilities_setosa"]) > 0.5
    assert (place / "out.errors.csv").read_text().startswith("id,code,error\n3,INVALID,")
    assert run("in.csv", "out.csv") == 0
    assert "nothing to predict" in capsys.readouterr().out
    assert run("in.csv", "out.csv", "--restart", "--where", "sepal_length > 6") == 0
    assert "1 rows predicted, 0 failed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "sentence", "code"),
    [
        (("in.csv", "out.txt"), "is not a table", 2),
        (("no.csv", "out.csv"), "there is no file 'no.csv'", 2),
        (("in.csv", "out.csv", "--where", "petal = 1"), "there is no column 'petal'; did you mean", 2),
        (("in.csv", "out.csv", "--where", "1; DROP TABLE x"), "a condition", 2),
        (("in.csv", "out.csv", "--batch-rows", "0"), "--batch-rows must be at least 1", 2),
        (("in.csv", "out.csv", "--cron", "hourly"), "is not a cron expression", 2),
        (("sqlite:///no.db?table=t", "out.csv"), "there is no table 't'", 2),
        (("in.csv", "sqlite:///out.db?table="), "are names of 1 to 63 characters", 2),
        (("in.csv", "redis://localhost"), "there is no BatchSink for redis://", 2),
    ],
)
def test_what_is_wrong_is_one_sentence(
    arguments: tuple[str, ...], sentence: str, code: int, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(place.iterdir())
    assert run(*arguments) == code
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
    assert sorted(place.iterdir()) == before  # nothing says that a run began


def test_a_conflict_says_nothing_of_going_on(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(sqlite3.connect(place / "in.db")) as database:
        database.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, 'values' TEXT)")
        database.execute("INSERT INTO t VALUES (1, '[5.1, 3.5, 1.4, 0.2]')")
        database.commit()
    table = "sqlite:///in.db?table=t"
    assert run(table, "out.csv", "--where", "id > 0") == 0
    capsys.readouterr()
    assert run(table, "out.csv") == 1
    error = capsys.readouterr().err
    assert "were chosen by id > 0; restart the run to choose again" in error
    assert "goes on" not in error


def test_a_key_that_comes_twice_is_said_where_the_results_are_a_table(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = (place / "in.csv").read_text().splitlines()
    (place / "in.csv").write_text("\n".join([*lines[:2], lines[1]]))
    assert run("in.csv", "sqlite:///out.db?table=t") == 2
    assert "UNIQUE constraint failed: t.id; the rows must differ in 'id'" in capsys.readouterr().err


def test_a_file_that_is_there_already_is_not_written_over(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "out.csv").write_text("mine")
    assert run("in.csv", "out.csv") == 2
    assert "already exists" in capsys.readouterr().err
    assert (place / "out.csv").read_text() == "mine"


def test_columns_that_the_model_lacks_are_named(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "in.csv").write_text("id,sepal_length\n1,2\n")
    assert run("in.csv", "out.csv") == 2
    assert "there is no column 'sepal_width'; the model takes sepal_length, sepal_width" in capsys.readouterr().err
