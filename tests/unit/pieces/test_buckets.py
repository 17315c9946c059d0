"""Buckets: shares, and how few units a change of the weights moves."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlpatterns.errors import InvalidInput
from mlpatterns.pieces.split.buckets import BUCKETS, Allocation, allocated, bucket_of, reconciled, shares, unit_of

ARMS = ("a", "b", "c", "d", "e")


@st.composite
def changes(draw: st.DrawFn) -> list[dict[str, float]]:
    """Weights of 2 to 5 arms, several times."""
    arms = ARMS[: draw(st.integers(2, 5))]
    weight = st.one_of(st.just(0), st.integers(1, 100), st.floats(0.1, 100))
    one = st.fixed_dictionaries(dict.fromkeys(arms, weight)).filter(lambda weights: sum(weights.values()) > 0)
    return draw(st.lists(one, min_size=2, max_size=6))


@given(changes())
@settings(max_examples=30, deadline=None)
def test_what_moves_is_the_sum_of_the_increases_and_moves_to_an_arm_that_grows(steps: list[dict[str, float]]) -> None:
    now = allocated(steps[0])
    for weights in steps[1:]:
        then = allocated(weights, now)
        before, after = now.counts(), then.counts()
        assert after == shares(weights)
        moved = [(a, b) for a, b in zip(now.table(), then.table(), strict=True) if a != b]
        assert len(moved) == sum(max(0, after[arm] - before[arm]) for arm in after)
        assert all(after[a] < before[a] and after[b] > before[b] for a, b in moved)
        now = then


@given(changes())
@settings(max_examples=30, deadline=None)
def test_a_document_of_it_fits_the_store_and_comes_back_the_same(steps: list[dict[str, float]]) -> None:
    now = allocated(steps[0])
    for weights in steps[1:]:
        now = allocated(weights, now)
    encoded = msgspec.json.encode(now)
    assert msgspec.json.decode(encoded, type=Allocation) == now
    assert len(encoded) < 4096


def test_the_worst_document_fits_the_store() -> None:
    worst = Allocation(dict.fromkeys(map(str, range(100)), 1e11), tuple(map(str, range(100))), (99, 1) * BUCKETS)
    assert len(msgspec.json.encode(worst)) < 64 * 2**10


def test_weights_are_relative() -> None:
    assert shares({"a": 60, "b": 40}) == shares({"a": 3, "b": 2}) == {"a": 6000, "b": 4000}
    assert shares({"a": 1, "b": 1, "c": 1}) == {"a": 3334, "b": 3333, "c": 3333}
    assert shares({"a": 0, "b": 5}) == {"a": 0, "b": 10_000}


@pytest.mark.parametrize(
    ("weights", "sentence"),
    [
        ({"a": -1, "b": 1}, "the weight of 'a' must be from 0 to 1e12, not -1"),
        ({"a": float("nan"), "b": 1}, "the weight of 'a' must be from 0 to 1e12, not nan"),
        ({"a": float("inf"), "b": 1}, "the weight of 'a' must be from 0 to 1e12, not inf"),
        ({"a": 0, "b": 0}, "one of the weights must be greater than 0"),
        ({"a": 1, "b": 1e6}, "the weight of 'a' is less than one bucket of 10000; give it 0 or a larger share"),
    ],
)
def test_what_are_no_weights_is_said(weights: dict[str, float], sentence: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        shares(weights)
    assert str(caught.value) == sentence


def test_units_fill_the_buckets_evenly_and_other_salts_fill_them_otherwise() -> None:
    tenths = Counter(bucket_of(unit_of("one", str(n))) // 1000 for n in range(20_000))
    assert all(abs(count - 2000) < 5 * 2000**0.5 for count in tenths.values())
    assert len(tenths) == 10
    together = sum(bucket_of(unit_of("one", str(n))) // 5000 == bucket_of(unit_of("two", str(n))) // 5000
                   for n in range(20_000))  # fmt: skip
    assert abs(together - 10_000) < 5 * 5000**0.5


def test_a_key_that_is_no_text_of_unicode_has_a_bucket_too() -> None:
    assert 0 <= bucket_of(unit_of("", "\udcff")) < BUCKETS


def test_an_arm_that_is_gone_gives_its_buckets_to_the_others_and_a_new_one_gets_none() -> None:
    stored = allocated({"a": 50, "b": 30, "c": 20})
    now = reconciled(stored, {"a": 1, "b": 1, "d": 1})
    assert now.counts() == {"a": 6250, "b": 3750, "d": 0}
    stay = [(x, y) for x, y in zip(stored.table(), now.table(), strict=True) if x != "c"]
    assert all(x == y for x, y in stay)
    assert reconciled(stored, {"c": 0, "b": 0, "a": 1}) is stored


def test_where_no_arm_is_left_that_had_traffic_the_composed_weights_hold() -> None:
    assert reconciled(allocated({"a": 1, "b": 0}), {"b": 1, "c": 3}).counts() == {"b": 2500, "c": 7500}


@pytest.mark.parametrize("runs", [(0, 9_999), (0, 10_001), (1, 10_000), (0, 5_000, 0, 0, 0, 5_000), (-1, 10_000), (0,)])
def test_what_is_no_allocation_is_noticed(runs: tuple[int, ...]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - any of its sentences
        Allocation({"a": 1.0}, ("a",), runs).table()
