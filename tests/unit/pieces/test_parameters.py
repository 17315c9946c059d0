"""Parameters: what a command may say, what holds after it, and what the environment says at the start."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlpatterns.errors import InvalidInput
from mlpatterns.pieces.thresholds.parameters import (
    Parameters,
    SetParameters,
    StoredParameters,
    differences,
    from_environment,
    in_force,
    unused_variables,
)
from mlpatterns.user_errors import SettingsError

PARTS = ("setosa", "versicolor")
START = Parameters({"setosa": 0.9, "versicolor": 0.85}, {"setosa": True, "versicolor": False}, False, 10.0, 1)


def test_what_a_command_does_not_say_stays() -> None:
    after = SetParameters(thresholds={"setosa": 0.5}, retries=0).on(START)
    assert after == Parameters({"setosa": 0.5, "versicolor": 0.85}, START.active, False, 10.0, 0)
    assert SetParameters().on(START) == START
    assert SetParameters(timeout=0).on(START).timeout is None
    assert SetParameters(stopped=True, active={"versicolor": True}).on(START) == Parameters(
        START.thresholds, {"setosa": True, "versicolor": True}, True, 10.0, 1
    )


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        ({"thresholds": {"rose": 0.5}}, "there is no part 'rose'; the parts are setosa, versicolor"),
        ({"active": {"rose": True}}, "there is no part 'rose'"),
        ({"thresholds": {"setosa": 1.01}}, "must be from 0 to 1, not 1.01"),
        ({"thresholds": {"setosa": float("nan")}}, "must be from 0 to 1"),
        ({"timeout": -1}, "the timeout must be"),
        ({"timeout": 1e9}, "the timeout must be"),
        ({"timeout": float("inf")}, "the timeout must be"),
        ({"retries": 11}, "retries must be 0 to 10"),
        ({"retries": -1}, "retries must be 0 to 10"),
    ],
)
def test_what_is_out_of_range_is_refused(told: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        SetParameters(**told).on(START).checked(PARTS)


thresholds = st.dictionaries(st.sampled_from(PARTS), st.floats(0, 1), max_size=2)
commands = st.builds(
    SetParameters,
    thresholds=thresholds,
    active=st.dictionaries(st.sampled_from(PARTS), st.booleans(), max_size=2),
    stopped=st.none() | st.booleans(),
    timeout=st.none() | st.floats(0, 3600),
    retries=st.none() | st.integers(0, 10),
)


@given(st.lists(commands, max_size=5))
def test_after_any_commands_what_holds_is_whole_and_survives_the_store(given_commands: list[SetParameters]) -> None:
    kept = StoredParameters()
    for told in given_commands:
        kept = StoredParameters(told.on(in_force(START, kept)).checked(PARTS), START)
        kept = msgspec.convert(msgspec.json.decode(msgspec.json.encode(kept)), StoredParameters)
    holds = in_force(START, kept)
    assert set(holds.thresholds) == set(holds.active) == set(PARTS)
    assert in_force(START, StoredParameters()) == START
    assert differences(START, kept) == []  # nobody changed the start values meanwhile
    for told in given_commands[-1:]:
        assert told.thresholds.items() <= holds.thresholds.items()
        assert told.active.items() <= holds.active.items()


def test_a_start_with_other_values_than_those_that_were_replaced_is_told_of() -> None:
    kept = StoredParameters(SetParameters(thresholds={"setosa": 0.8}).on(START), START)
    changed = msgspec.structs.replace(START, thresholds={"setosa": 0.7, "versicolor": 0.85}, timeout=5.0)
    assert differences(changed, kept) == [
        "threshold of setosa starts as 0.7, a command replaced 0.9 by 0.8, now in force",
        "timeout starts as 5.0, a command replaced 10.0 by 10.0, now in force",
    ]
    same_now = msgspec.structs.replace(START, thresholds={"setosa": 0.8, "versicolor": 0.85})
    assert differences(same_now, kept) == []  # what holds is what it starts as: nothing is hidden


def test_parts_that_came_since_have_their_start_values_and_those_that_went_are_left_out() -> None:
    kept = StoredParameters(Parameters({"setosa": 0.5, "rose": 0.1}, {"rose": False}, False, None, 0), START)
    holds = in_force(START, kept)
    assert holds.thresholds == {"setosa": 0.5, "versicolor": 0.85}
    assert holds.active == START.active


def test_the_environment_counts_more_than_the_code() -> None:
    environ = {
        "MLPATTERNS_THRESHOLD_SETOSA": "0.25",
        "MLPATTERNS_ACTIVATE_SETOSA": "0",
        "MLPATTERNS_ACTIVATE_VERSICOLOR": "true",
        "MLPATTERNS_THRESHOLD_ROSE": "nonsense of another system",
    }
    found = from_environment(START, environ)
    assert found.thresholds == {"setosa": 0.25, "versicolor": 0.85}
    assert found.active == {"setosa": False, "versicolor": True}


def test_a_variable_of_no_part_is_found() -> None:
    names = ("THRESHOLD_SETOSA", "THRESHOLD_SETOSE", "ACTIVATE_VERSICOLOR", "ACTIVATE_", "PORT")
    found = unused_variables(PARTS, {f"MLPATTERNS_{name}": "1" for name in names})
    assert found == ["MLPATTERNS_THRESHOLD_SETOSE"]


@pytest.mark.parametrize("said", ["1.5", "-0.1", "nan", "inf", "much", "0,5"])
def test_a_threshold_in_the_environment_that_is_none_is_refused(said: str) -> None:
    with pytest.raises(SettingsError, match="MLPATTERNS_THRESHOLD of 'setosa' must be a number from 0 to 1"):
        from_environment(START, {"MLPATTERNS_THRESHOLD_SETOSA": said})


@given(st.text(max_size=8))
def test_whatever_the_environment_says_is_a_value_or_one_sentence(said: str) -> None:
    for kind in ("THRESHOLD", "ACTIVATE"):
        try:
            found = from_environment(START, {f"MLPATTERNS_{kind}_SETOSA": said})
        except SettingsError as error:
            assert "'setosa'" in str(error)  # noqa: PT017 - most texts are wrong, and none of them need be
        else:
            found.checked(PARTS)
