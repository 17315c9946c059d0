"""Rules: which requests they mean, and that whatever is in a file becomes rules or one clear sentence."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mlpatterns.metadata import TensorSpec
from mlpatterns.pieces.route.rules import DataRule, Rule, RuleFile, parse_rules, read_rules
from mlpatterns.testing import request
from mlpatterns.user_errors import CompositionError, MissingExtra

INPUTS = (TensorSpec("x", "FP32", (-1, 2), fields=("width", "length")),)


def meets(rule: Rule, data: Any = ((1.0, 2.0),), now: float = 0.0, **asked: Any) -> bool:
    rule.check()
    made = request({"x": data}, **asked)
    return rule.meets(made.context, made, INPUTS, now)


def test_headers_are_compared_whole_and_all_must_be_met() -> None:
    rule = Rule(to="a", headers={"Target": "mountain", "x-kind": ("alpha", "beta")})
    assert meets(rule, headers={"target": "mountain", "x-kind": "beta"})
    assert not meets(rule, headers={"target": "mountain"})
    assert not meets(rule, headers={"target": "mountains", "x-kind": "beta"})
    assert not meets(rule, headers={"target": "MOUNTAIN", "x-kind": "beta"})


def test_parameters_are_compared_with_their_type() -> None:
    rule = Rule(to="a", parameters={"lang": "ja", "fast": True, "k": 1})
    assert meets(rule, parameters={"lang": "ja", "fast": True, "k": 1})
    assert not meets(rule, parameters={"lang": "ja", "fast": 1, "k": 1})
    assert not meets(rule, parameters={"lang": "ja", "fast": True, "k": True})
    assert not meets(rule, parameters={"lang": "ja"})


@pytest.mark.parametrize(
    ("between", "hour", "met"),
    [
        (("09:00", "17:00"), "09:00", True),
        (("09:00", "17:00"), "16:59", True),
        (("09:00", "17:00"), "17:00", False),
        (("22:00", "06:00"), "23:30", True),
        (("22:00", "06:00"), "05:59", True),
        (("22:00", "06:00"), "12:00", False),
    ],
)
def test_times_of_day_are_those_of_the_timezone_and_may_pass_midnight(
    between: tuple[str, str], hour: str, met: bool
) -> None:
    now = datetime.fromisoformat(f"2026-11-28T{hour}").replace(tzinfo=ZoneInfo("Asia/Tokyo")).timestamp()
    assert meets(Rule(to="a", between=between, timezone="Asia/Tokyo"), now=now) is met


def test_data_must_keep_its_condition_in_every_row() -> None:
    rule = Rule(to="a", data=(DataRule(column="length", at_least=2.0, below=3.0),))
    assert meets(rule, [[9.0, 2.0], [9.0, 2.9]])
    assert not meets(rule, [[9.0, 2.0], [9.0, 3.0]])
    assert not meets(rule, [[9.0, float("nan")]])
    assert meets(Rule(to="a", data=(DataRule(column=0, input="x", below=0),)), [[-1.0, 5.0]])


@pytest.mark.parametrize("one", [DataRule(column=7, below=1), DataRule(column="depth", below=1),
                                 DataRule(column=-1, below=9), DataRule(column=0, input="y", below=1)])  # fmt: skip
def test_a_column_that_is_not_there_meets_no_condition(one: DataRule) -> None:
    assert not meets(Rule(to="a", data=(one,)))
    assert not Rule(to="a", data=(one,)).meets(request({"x": np.array([b"text"], object)}).context, None, INPUTS, 0)


def test_what_is_asked_about_the_model_has_headers_and_a_time_and_no_data() -> None:
    context = request([[1.0]], headers={"target": "mountain"}).context
    assert Rule(to="a", headers={"target": "mountain"}).meets(context, None, INPUTS, 0)
    rules = (
        Rule(to="a", when=lambda _: True),
        Rule(to="a", parameters={"k": 1}),
        Rule(to="a", data=(DataRule(column=0, below=9),)),
    )
    for rule in rules:
        assert not rule.meets(context, None, INPUTS, 0)


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        (Rule(to="a"), "has no condition"),
        (Rule(to="a", headers={"authorization": "x"}), "may carry credentials"),
        (Rule(to="a", headers={"bad name": "x"}), "cannot be read"),
        (Rule(to="a", headers={"target": ""}), "needs a value"),
        (Rule(to="a", headers={"target": ()}), "needs a value"),
        (Rule(to="a", parameters={"k": 1}, timeout=0), "timeout"),
        (Rule(to="a", parameters={"k": 1}, timeout=float("nan")), "timeout"),
        (Rule(to="a", between=("9:00", "17:00")), "two different times"),
        (Rule(to="a", between=("09:00", "24:00")), "two different times"),
        (Rule(to="a", between=("09:00", "09:00")), "two different times"),
        (Rule(to="a", between=("09:00", "10:00"), timezone="Mars/Olympus"), "no timezone"),
        (Rule(to="a", between=("09:00", "10:00"), timezone="../../etc/passwd"), "no timezone"),
        (Rule(to="a", data=(DataRule(column=0),)), "at_least, below or both"),
    ],
)
def test_a_rule_that_cannot_be_used_is_refused(rule: Rule, sentence: str) -> None:
    with pytest.raises(CompositionError, match=sentence):
        rule.check()


# ---- files -------------------------------------------------------------------------------------------------------

GOOD = """
default: low
rules:
  - to: high
    headers: {target: mountain, x-kind: [alpha, beta]}
    timeout: 10
  - to: low
    between: ["22:00", "06:00"]
    timezone: Asia/Tokyo
    parameters: {k: 1, fast: true}
    data: [{column: petal_length, at_least: 2.5}]
"""


def read(tmp_path: Path, text: str | bytes) -> RuleFile:
    file = tmp_path / "rules.yaml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_rules(file)


def test_a_file_has_the_fields_of_a_rule(tmp_path: Path) -> None:
    found = read(tmp_path, GOOD)
    assert found.default == "low"
    assert found.rules == (
        Rule(to="high", headers={"target": "mountain", "x-kind": ("alpha", "beta")}, timeout=10),
        Rule(to="low", between=("22:00", "06:00"), timezone="Asia/Tokyo", parameters={"k": 1, "fast": True},
             data=(DataRule(column="petal_length", at_least=2.5),)),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "Expected `object`, got `null`"),
        ("[1]", "Expected `object`, got `array`"),
        ("rules: 5", "rules"),
        ("rules: [{headers: {a: b}}]", "missing required field `to`"),
        ("rules: [{to: a, header: {a: b}}]", "unknown field `header`"),
        ("rules: [{to: a, headers: {target: on}}]", 'quote values such as "on"'),
        ("rules: [{to: a, between: [22:00, 06:00]}]", 'quote values such as "on", "1" and "22:00"'),
        ("rules: [{to: a, between: ['22:00']}]", "between"),
        ("rules: [{to: a, when: 'lambda request: True'}]", "which a file cannot hold"),
        ("rules: [{to: a, timeout: -1, parameters: {k: 1}}]", "timeout"),
        ("rules: [{to: a, headers: {target: x}, headers: {target: y}}]", "'headers' is given twice"),
        ("a: &a [1]\nrules: *a", "references"),
        ("rules: !!python/object/apply:os.system ['true']", "could not determine a constructor"),
        ("rules: [", "expected"),
        (b"\xff\xfe\x00", "not right"),
        ("x" * 70_000, "larger than the 65536 bytes"),
        ("[" * 400, "not right"),
    ],
    ids=range(17),  # or the long ones would be in the names of the tests
)
def test_what_is_wrong_in_a_file_is_said_in_one_sentence(tmp_path: Path, text: str | bytes, sentence: str) -> None:
    with pytest.raises(CompositionError) as caught:
        read(tmp_path, text)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "rules.yaml") in str(caught.value)


def test_a_file_that_is_not_there_is_said_to_be_so(tmp_path: Path) -> None:
    with pytest.raises(CompositionError, match="cannot be read: No such file"):
        read_rules(tmp_path / "no.yaml")


def test_without_pyyaml_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(MissingExtra, match=r"mlpatterns\[yaml\]"):
        read(tmp_path, GOOD)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    | st.sampled_from(["22:00", "06:00", "target", "UTC", "a"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["to", "headers", "parameters", "between", "timezone", "data", "timeout", "when", "column",
                         "at_least", "below", "input", "rules", "default", "x"]), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
likely = st.fixed_dictionaries(
    {"to": st.just("a")},
    optional={
        "headers": st.dictionaries(st.sampled_from(["target", "Cookie", "x-a", ""]), st.text(max_size=3), max_size=2),
        "parameters": st.dictionaries(st.text(max_size=3), values, max_size=2),
        "between": st.lists(st.sampled_from(["22:00", "06:00", "24:00"]), max_size=3),
        "timezone": st.sampled_from(["UTC", "Asia/Tokyo", "x", ""]),
        "data": st.lists(st.fixed_dictionaries({"column": st.integers() | st.text(max_size=2)},
                                               optional={"below": st.floats(), "at_least": st.integers()}), max_size=2),
        "timeout": st.floats(),
    },
)  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(values | st.fixed_dictionaries({"rules": st.lists(likely | values, max_size=3)}))
def test_whatever_a_file_holds_becomes_rules_that_work_or_one_sentence(content: Any) -> None:
    try:
        found = parse_rules(content, "file.yaml")
    except CompositionError as error:
        assert "\n" not in str(error)  # noqa: PT017 - most content is wrong, and none of it need be
        return
    for rule in found.rules:
        assert meets(rule, headers={"target": "x"}) in (True, False)
        assert rule.meets(request([[1.0]]).context, None, INPUTS, 0) in (True, False)


@settings(max_examples=50, deadline=None)
@given(values | st.text(max_size=60))
def test_whatever_the_bytes_of_a_file_are_it_ends_the_same_way(tmp_path_factory: Any, content: Any) -> None:
    text = content if isinstance(content, str) else yaml.safe_dump({"rules": [content]})
    file = tmp_path_factory.getbasetemp() / "some.yaml"
    file.write_text(text, encoding="utf-8", errors="surrogatepass")
    try:
        read_rules(file)
    except CompositionError as error:
        assert "\n" not in str(error)  # noqa: PT017 - as above
