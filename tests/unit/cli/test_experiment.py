"""`mlpatterns experiment FILE`: the verdict of a table, and one sentence for what is wrong with one."""

from __future__ import annotations

import json
import random
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlpatterns.cli import main
from mlpatterns.cli.experiment_table import Columns, outcomes_in, shares_in
from mlpatterns.cli.tables import read_table
from mlpatterns.user_errors import UserError


def written(tmp_path: Path, text: str, name: str = "outcomes.csv") -> Path:
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    return file


@pytest.fixture
def clear(tmp_path: Path) -> Path:
    """3,000 users of whom 1 in 10 converts in a, and 2 in 10 in b."""
    chance, lines = random.Random(1), ["unit,arm,value"]
    for user in range(3000):
        arm = chance.choice("ab")
        lines.append(f"{user:05},{arm},{int(chance.random() < {'a': 0.1, 'b': 0.2}[arm])}")
    return written(tmp_path, "\n".join(lines))


def test_it_prints_a_table_and_a_verdict(clear: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["experiment", str(clear), "--weights", "a=50,b=50"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0].split()[:4] == ["Arm", "Users", "Events", "Value"]
    assert "decided: b is better than a in value: the experiment may be stopped" in out
    assert "users by arm: p = 0.89" in out


def test_lower_may_be_better_and_another_arm_the_control(clear: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["experiment", str(clear), "--better", "lower", "--control", "b", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found["metrics"][0]["arms"]) == ["b", "a"]
    assert found["metrics"][0]["arms"]["a"]["conclusion"] == "better"


def test_a_mismatch_of_the_users_is_invalid_and_exits_1(clear: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["experiment", str(clear), "--weights", "a=60,b=40"]) == 1
    assert "invalid: " in capsys.readouterr().out


def test_it_says_the_same_as_the_piece_does_of_the_same_outcomes(clear: Path) -> None:
    from mlpatterns.analysis.experiment import verdict_of

    table = read_table(clear, texts=("unit", "arm"))
    outcomes, users, moved = outcomes_in(table, Columns("unit", "arm", "value"), control=None, per_user="sum",
                                         missing="zero", better="higher")  # fmt: skip
    assert (sum(users.values()), moved) == (3000, 0)
    assert verdict_of([outcomes], []).state == "decided"


def test_several_rows_of_a_user_are_one_value_and_who_met_two_arms_is_left_out(tmp_path: Path) -> None:
    rows = "who;variant;paid;asked\n007;a;1;2\n7;b;5;1\n007;a;2;3\nx;a;9;1\nx;b;9;1\ny;b;;4\n"
    table = read_table(written(tmp_path, rows), texts=("who", "variant"))
    names = Columns("who", "variant", "paid", "asked")
    found, users, moved = outcomes_in(table, names, control=None, per_user="sum", missing="zero", better="higher")
    assert {arm: each.values.tolist() for arm, each in found.arms.items()} == {"a": [3.0], "b": [5.0, 0.0]}
    denominators = {arm: each.denominators for arm, each in found.arms.items()}
    assert [list(each) for each in denominators.values() if each is not None] == [[5.0], [1.0, 4.0]]
    assert (users, moved) == ({"a": 2, "b": 2}, 1)
    left, _, _ = outcomes_in(table, names, control="b", per_user="max", missing="left_out", better="higher")
    assert {arm: each.values.tolist() for arm, each in left.arms.items()} == {"b": [5.0], "a": [2.0]}


@pytest.mark.parametrize(
    ("times", "until"), [("1,2,3,4", "3"), ("2026-01-01,2026-01-02,2026-02-01,2026-03-01", "2026-02")]
)
def test_rows_from_a_time_on_are_left_out(tmp_path: Path, times: str, until: str) -> None:
    rows = "\n".join(f"u{n},{'ab'[n % 2]},1,{time}" for n, time in enumerate(times.split(",")))
    table = read_table(written(tmp_path, f"unit,arm,value,at\n{rows}\n"), texts=("unit", "arm"))
    names = Columns("unit", "arm", "value", None, "at", until)
    _, users, _ = outcomes_in(table, names, control=None, per_user="sum", missing="zero", better="higher")
    assert users == {"a": 1, "b": 1}


def test_parquet_says_the_same_as_csv(tmp_path: Path, clear: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pyarrow")
    from pyarrow import csv, parquet

    file = tmp_path / "outcomes.parquet"
    parquet.write_table(csv.read_csv(clear), file)
    said = []
    for each in (clear, file):
        assert main(["experiment", str(each), "--json"]) == 0
        said.append(json.loads(capsys.readouterr().out))
    assert said[0] == said[1]


@pytest.mark.parametrize(
    ("text", "options", "sentence"),
    [
        ("", [], "is empty"),
        ("unit,arm\nu,a\n", [], "has no column 'value'; it has unit, arm"),
        ("unit,arm,value\nu,a\n", [], "line 2 of"),
        ("unit,arm,value\nu,a,1\nv,b,much\n", [], "holds 'much' in line 3; it must be a number"),
        ("unit,arm,value\nu,a,1\nv,b,inf\n", [], "holds 'inf' in line 3"),
        ("unit,arm,value\n,a,1\n", [], "the column 'unit' of"),
        ("unit,arm,value\nu,,1\n", [], "the column 'arm' of"),
        ("unit,arm,value\nu,a,1\n", [], "names 1 arms; it must be 2 to 100"),
        ("unit,arm,value\nu,a,1\nv,b,1\n", ["--control", "c"], "there is no arm 'c'"),
        ("unit,arm,value\nu,a,1\nv,b,1\n", ["--weights", "a=1"], "has no value for the arm 'b'"),
        ("unit,arm,value\nu,a,1\nv,b,1\n", ["--weights", "a=x,b=1"], "must be ARM=NUMBER"),
        ("unit,arm,value\nu,a,1\nv,b,1\n", ["--weights", "a=1,b=1,a=2"], "gives the arm 'a' twice"),
        ("unit,arm,value\nu,a,1\nv,b,1\n", ["--weights", "a=0,b=0"], "not all 0"),
        ("unit,arm,value,at\nu,a,1,1\n", ["--time", "at", "--until", "May"], "so --until must be one"),
        ("unit,arm,value,at\nu,a,1,\n", ["--time", "at", "--until", "5"], "is empty in line 2"),
        ("unit,arm,value\nu,a,1\nv,b,1\n", ["--until", "5"], "go together"),
        ("unit,arm,value\nu,a,1\nv,b,1\n", ["--per-user", "median"], "must be one of sum, mean"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    tmp_path: Path, text: str, options: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["experiment", str(written(tmp_path, text)), *options]) in (1, 2)
    said = capsys.readouterr()
    assert sentence in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""


def test_a_file_that_is_not_there_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["experiment", str(tmp_path / "none.csv")]) != 0
    assert "cannot be read" in capsys.readouterr().err


@given(st.text(alphabet=st.sampled_from('unitarmvalue,;\n"01.-eab \x00é'), max_size=80))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_in_the_file_it_is_read_or_refused_in_a_sentence(tmp_path: Path, text: str) -> None:
    file = written(tmp_path, f"unit,arm,value\nu,a,1\nv,b,2\n{text}")
    with suppress(UserError):  # anything else is a fault
        table = read_table(file, texts=("unit", "arm"))
        outcomes_in(table, Columns("unit", "arm", "value"), control=None, per_user="sum", missing="zero",
                    better="higher")  # fmt: skip


@given(st.text(max_size=30))
@settings(max_examples=30, deadline=None)
def test_whatever_the_weights_are_they_are_read_or_refused(text: str) -> None:
    try:
        shares = shares_in(text, {"a": 1})
    except UserError:
        return
    assert all(share >= 0 for share in shares.values())
    assert sum(shares.values()) > 0
