"""predict: rows as people write them, with names and with texts, as the body that a server takes."""

from __future__ import annotations

import json

import pytest

from mlpatterns.cli.predict_data import parse_data
from mlpatterns.user_errors import UserError

ROW = {"age": 22, "sex": "m"}


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ('{"age": 22, "sex": "m"}', [ROW]),
        ('{"age": [22], "sex": ["m"]}', {"age": [22], "sex": ["m"]}),
        ('[{"age": 22, "sex": "m"}]', [ROW]),
        ('{"data": [{"age": 22, "sex": "m"}]}', [ROW]),
        ("age=22,sex=m", [ROW]),
        ("age=22, sex=m\nage=, sex=f", [ROW, {"age": None, "sex": "f"}]),
        ('age=2.5,alone=true,zip="012",note=a=b', [{"age": 2.5, "alone": True, "zip": "012", "note": "a=b"}]),
        ("age,sex\n22,m\n,f\n", [ROW, {"age": None, "sex": "f"}]),
        ('age,"last, first"\n22,"Doe, J."', [{"age": 22, "last, first": "Doe, J."}]),
        ("22,7.25,m,3", [[22, 7.25, "m", 3]]),
        ("22,m\n23,f", [[22, "m"], [23, "f"]]),
        ("性別=m", [{"性別": "m"}]),
        ("age,alone\n22,True\n23,FALSE", [{"age": 22, "alone": True}, {"age": 23, "alone": False}]),
    ],
)
def test_rows_may_have_names_and_texts(text: str, data: object) -> None:
    assert json.loads(parse_data(text)) == {"data": data}


KINDS = {"age": "float32", "zip": "str", "alone": "bool"}


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("age,zip,alone\n22,1200,1\n,,no", [{"age": 22, "zip": "1200", "alone": True},
                                           {"age": None, "zip": "", "alone": False}]),
        ("age=22,zip=true,alone=false,more=1", [{"age": 22, "zip": "true", "alone": False, "more": 1}]),
        ("22,1200,yes", [[22, "1200", True]]),
        ("22,1200,yes,no", [[22, "1200", True, "no"]]),
    ],
)  # fmt: skip
def test_a_cell_is_what_its_column_is(text: str, data: object) -> None:
    assert json.loads(parse_data(text, lambda: KINDS)) == {"data": data}
    assert json.loads(parse_data("sex=m,zip=1", lambda: "str")) == {"data": [{"sex": "m", "zip": "1"}]}


@pytest.mark.parametrize("text", ["five", "m,tokyo", "1,,m", "age,sex\n22", "age,\n1,2", "=1"])
def test_what_is_no_rows_is_one_sentence(text: str) -> None:
    with pytest.raises(UserError, match=r"neither JSON nor rows of numbers like 5\.1,3\.5,1\.4,0\.2"):
        parse_data(text)
