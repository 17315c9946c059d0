"""The verdict: who decides, when nothing is concluded, and what is warned of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mlpatterns.analysis.experiment import ArmValues, Outcomes, verdict_of
from mlpatterns.analysis.srm import Period

FAIR = [Period({"a": 1000, "b": 1000}, {"a": 1, "b": 1})]


def arm(rate: float, users: int = 2000, missing: float = 0.0) -> ArmValues:
    values = np.zeros(users)
    values[: int(rate * users)] = 1
    gone = np.zeros(users)
    gone[: int(missing * users)] = 1
    return ArmValues(values, gone)


def outcomes(better: str = "higher", **arms: ArmValues) -> Outcomes:
    return Outcomes("converted", arms, better)


@pytest.mark.parametrize(
    ("better", "rate", "conclusion"),
    [("higher", 0.2, "better"), ("higher", 0.05, "worse"), ("lower", 0.05, "better"), ("lower", 0.2, "worse")],
)
def test_a_clear_difference_decides(better: str, rate: float, conclusion: str) -> None:
    found = verdict_of([outcomes(better, a=arm(0.1), b=arm(rate))], FAIR)
    assert found.state == "decided"
    assert found.metrics[0].arms["b"].conclusion == conclusion
    assert f"b is {conclusion} than a in converted" in found.says
    assert found.metrics[0].arms["a"].effect is None


def test_no_difference_goes_on_and_says_what_could_be_found() -> None:
    found = verdict_of([outcomes(a=arm(0.1), b=arm(0.11))], FAIR)
    assert (found.state, found.says) == ("running", "no difference in converted is significant yet")
    detectable = found.metrics[0].arms["b"].detectable
    assert detectable is not None
    assert 0.02 < detectable < 0.06


@pytest.mark.parametrize("few", [{"users": 99, "rate": 0.9}, {"users": 1000, "rate": 0.009}])
def test_before_100_users_and_10_events_an_arm_nothing_is_concluded(few: dict[str, Any]) -> None:
    found = verdict_of([outcomes(a=arm(0.05), b=arm(**few))], FAIR)
    assert found.state == "running"
    assert "each arm needs 100 users and 10 events" in found.says
    assert found.metrics[0].arms["b"].conclusion == ""


def test_while_exposures_are_lost_nothing_is_concluded() -> None:
    found = verdict_of([outcomes(a=arm(0.1), b=arm(0.5))], FAIR, frozen="7 exposures were lost")
    assert (found.state, found.says) == ("frozen", "no conclusion is possible now: 7 exposures were lost")


def test_a_mismatch_of_the_users_is_never_valid_whatever_the_metric_says() -> None:
    wrong = [Period({"a": 5000, "b": 4000}, {"a": 1, "b": 1})]
    found = verdict_of([outcomes(a=arm(0.1), b=arm(0.5))], wrong, frozen="lost")
    assert found.state == "invalid"
    assert found.srm_p < 0.001


def test_the_first_metric_decides_and_several_arms_share_the_level() -> None:
    same, other = outcomes(a=arm(0.1), b=arm(0.1)), Outcomes("time", {"a": arm(0.1), "b": arm(0.5)})
    assert verdict_of([same, other], FAIR).state == "running"
    assert verdict_of([other, same], FAIR).state == "decided"
    two = verdict_of([outcomes(a=arm(0.1), b=arm(0.13))], FAIR).metrics[0].arms["b"]
    three = verdict_of([outcomes(a=arm(0.1), b=arm(0.13), c=arm(0.1))], FAIR).metrics[0].arms["b"]
    assert two.lower is not None
    assert three.lower is not None
    assert three.lower < two.lower


def test_arms_that_tell_less_are_warned_of() -> None:
    found = verdict_of([outcomes(a=arm(0.1, missing=0.1), b=arm(0.1, missing=0.3))], FAIR)
    assert found.warnings == ["converted: 30.0% of the users of b have no value, 10.0% of the control"]
    assert verdict_of([outcomes(a=arm(0.1, missing=0.1), b=arm(0.1, missing=0.11))], FAIR).warnings == []


def test_nobody_at_all_is_running() -> None:
    nobody = ArmValues(np.zeros(0), np.zeros(0))
    found = verdict_of([outcomes(a=nobody, b=nobody)], [])
    assert found.state == "running"
    assert found.metrics[0].arms["b"].lower is None
