"""The tree: in which order predictors start, the path each is known by, and that those apart are left out."""

from __future__ import annotations

import pytest

from mlpatterns.base import BasePredictor
from mlpatterns.predictor import Predictor
from mlpatterns.runtime import leaves_first
from mlpatterns.runtime.tree import start_order
from mlpatterns.user_errors import CompositionError


class Apart(BasePredictor):
    """It does not start its model itself."""

    apart = ("model",)


def paths(*roots: tuple[str, Predictor]) -> list[str]:
    return [path for path, _ in start_order(roots)]


def test_a_path_is_the_keys_of_children_below_the_root_and_leaves_come_first() -> None:
    a, b = BasePredictor("x"), BasePredictor("y")
    root = BasePredictor("both", {"a": BasePredictor("z", {"inner": a}), "b.c": b})
    assert paths(("shop/both", root)) == ["shop/both/a/inner", "shop/both/a", "shop/both/b.c", "shop/both"]


def test_one_that_is_reached_in_two_ways_has_the_first_path_and_two_of_one_name_have_two() -> None:
    leaf = BasePredictor("leaf")
    assert paths(("one", BasePredictor("x", {"a": leaf, "b": leaf})), ("two", leaf)) == ["one/a", "one"]
    assert paths(("m", BasePredictor("m", {"a": BasePredictor("n"), "b": BasePredictor("n")}))) == ["m/a", "m/b", "m"]


def test_a_child_that_is_apart_does_not_start_here_but_is_drawn() -> None:
    model = BasePredictor("model", {"inner": BasePredictor("inner")})
    queue = Apart("queue", {"model": model, "store": BasePredictor("store")})
    assert paths(("q", queue)) == ["q/store", "q"]
    assert [each.name for each in leaves_first(queue)] == ["inner", "model", "store", "queue"]


def test_one_that_is_apart_in_one_place_and_not_in_another_starts_for_the_other() -> None:
    model = BasePredictor("model")
    assert paths(("q", Apart("queue", {"model": model})), ("m", model)) == ["q", "m"]


def test_a_predictor_that_contains_itself_is_a_composition_error() -> None:
    loop = BasePredictor("loop")
    loop.children = {"itself": BasePredictor("between", {"loop": loop})}
    with pytest.raises(CompositionError, match="'loop' contains itself"):
        list(leaves_first(loop))
