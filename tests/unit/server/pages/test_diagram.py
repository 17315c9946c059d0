"""A tree of predictors as a drawing: what is in it, where it stands, and that it is no way into a page."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from xml.etree import ElementTree as ET

import pytest

from mlpatterns import FanOut, Limit, Pipeline
from mlpatterns.models.onnx.onnx import OnnxModel
from mlpatterns.predictor import Predictor
from mlpatterns.server.pages.diagram import diagram
from mlpatterns.server.pages.diagram_layout import LONGEST, Box, Plan, lines_of, plan
from mlpatterns.server.pages.diagram_nodes import Node, in_words, nodes_of
from mlpatterns.service import Service
from mlpatterns.testing import CountingModel

PHONE = 390  # pixels
HOSTILE = "</title><script>alert(1)</script>'&"


def fan(count: int, name: str = "fan") -> FanOut:
    return FanOut({f"part{number}": CountingModel(f"model{number}") for number in range(count)}, name=name)


def deep(levels: int) -> Predictor:
    found: Predictor = CountingModel("leaf")
    for _ in range(levels):
        found = Limit(found, max_concurrency=1)
    return found


def nested(levels: int) -> Predictor:
    """Fan-outs in fan-outs, each further to the right."""
    found: Predictor = fan(3)
    for level in range(levels):
        found = FanOut(
            {"first": CountingModel("first"), "rest": found, "last": CountingModel("last")}, name=f"at_{level}"
        )
    return found


TREES = {
    "one": CountingModel("one"),
    "deep": deep(12),
    "wide": fan(12),
    "wide in wide": FanOut({name: fan(5, name) for name in ("a", "b", "c")}, name="outer"),
    "services": FanOut({name: Service(name, CountingModel(name)) for name in ("setosa", "versicolor")}, name="both"),
    "long": CountingModel("a_name_that_is_longer_than_any_screen_of_a_phone_is_wide"),
    "japanese": Pipeline(CountingModel("前処理"), CountingModel("推論"), name="パイプライン"),
}


def drawn(tree: Predictor) -> Plan:
    return plan(nodes_of({tree.name: tree}))


def titles(node: Node) -> Iterator[str]:
    yield node.title
    for child in node.children:
        yield from titles(child)


def meet(one: Box, other: Box) -> bool:
    return (one.x < other.x + other.width and other.x < one.x + one.width
            and one.y < other.y + other.height and other.y < one.y + one.height)  # fmt: skip


@pytest.mark.parametrize("name", TREES)
def test_boxes_never_overlap_and_all_is_inside_the_drawing(name: str) -> None:
    found = drawn(TREES[name])
    for one, other in combinations([box for box in found.boxes if box.node.kind != "service"], 2):
        assert not meet(one, other)
    for box in found.boxes:
        assert box.x >= 0
        assert box.y >= 0
        assert box.x + box.width <= found.width + 0.01
        assert box.y + box.height <= found.height + 0.01
    points = [point for line in found.lines for point in line]
    assert all(0 <= x <= found.width and 0 <= y <= found.height for x, y in points)


@pytest.mark.parametrize("name", TREES)
def test_each_line_ends_at_the_border_of_a_box_and_each_box_but_the_first_has_one(name: str) -> None:
    found = drawn(TREES[name])
    ends = [line[-1] for line in found.lines]
    assert len(set(ends)) == len(ends)
    borders = [box for box in found.boxes if any(_at_border(box, end) for end in ends)]
    within = sum(len(box.node.children) for box in found.boxes if box.node.kind == "service")
    assert len(borders) == len(ends) == len(found.boxes) - 1 - within


def _at_border(box: Box, end: tuple[float, float]) -> bool:
    top = end[1] == box.y and box.x <= end[0] <= box.x + box.width
    return top or (end[0] == box.x and box.y <= end[1] <= box.y + box.height)


@pytest.mark.parametrize("name", TREES)
def test_a_drawing_is_no_wider_than_a_phone(name: str) -> None:
    assert drawn(TREES[name]).width <= PHONE - 60  # what is around it in the page


def test_text_fits_into_its_box_and_long_text_is_cut() -> None:
    (box,) = [box for box in drawn(TREES["long"]).boxes if box.node.kind == "piece"]
    assert max(map(len, lines_of(box.node))) <= LONGEST
    assert box.width > LONGEST * 7
    (wide, narrow) = (drawn(CountingModel(name)).boxes[-1] for name in ("あいうえおかきくけこさしす", "abcdefghijklm"))
    assert wide.width > narrow.width


def test_parts_stand_beside_each_other_only_while_that_is_narrow() -> None:
    def places(count: int) -> list[tuple[float, float]]:
        tree = FanOut({name: CountingModel(name) for name in "abcdefghi"[:count]}, name="fan")
        return [(box.x, box.y) for box in drawn(tree).boxes if box.node.title == "CountingModel"]

    assert len({y for _, y in places(2)}) == 1
    assert len({x for x, _ in places(2)}) == 2
    assert len({x for x, _ in places(9)}) == 1
    assert len({y for _, y in places(9)}) == 9


def test_a_service_surrounds_what_may_run_alone() -> None:
    boxes = {box.node.kind: box for box in drawn(Service("setosa", CountingModel("m"))).boxes}
    border, inner = boxes["service"], boxes["piece"]
    assert border.node.notes == ("setosa",)
    assert border.x < inner.x
    assert border.y < inner.y
    assert border.x + border.width > inner.x + inner.width
    assert border.y + border.height > inner.y + inner.height


def test_what_is_reached_twice_is_there_once_and_pointed_at() -> None:
    shared = Limit(CountingModel("shared"), max_concurrency=1)
    tree = nodes_of({"m": FanOut({"a": shared, "b": shared}, name="m")})
    assert list(titles(tree)) == ["server", "FanOut", "Limit", "CountingModel", "Limit"]
    first, again = tree.children[0].children
    assert (first.kind, again.kind) == ("piece", "again")
    assert first.shared == again.shared == 1
    assert "shared (1)" in lines_of(first)


def test_two_that_are_shared_have_two_numbers() -> None:
    one, other = CountingModel("same"), CountingModel("same")
    tree = nodes_of({"m": FanOut({"a": one, "b": other, "c": other, "d": one}, name="m")})
    assert [node.shared for node in tree.children[0].children] == [2, 1, 1, 2]


def test_several_models_hang_below_one_server_and_say_what_they_are_served_as() -> None:
    tree = nodes_of({"red": CountingModel("m1"), "blue": CountingModel("blue")})
    assert [(child.role, child.notes[0]) for child in tree.children] == [("red", "m1"), ("", "blue")]


def test_what_is_not_ready_says_so_where_it_is_and_not_in_all_that_wraps_it() -> None:
    tree = nodes_of({"m": Limit(OnnxModel("iris@champion"), max_concurrency=1, name="m")})
    (limit,) = tree.children
    (model,) = limit.children
    assert (limit.ready, model.ready) == (False, False)
    assert "not ready yet" not in limit.notes
    assert model.notes == ("iris@champion", "not ready yet")


def test_what_is_apart_says_so_and_nobody_waits_for_it_or_for_what_is_below_it() -> None:
    shadow = FanOut({"primary": CountingModel("m"), "candidate": Limit(OnnxModel("iris"), max_concurrency=1)}, name="m")
    shadow.apart = ("candidate",)
    primary, candidate = nodes_of({"m": shadow}).children[0].children
    (below,) = candidate.children
    assert (primary.notes, candidate.notes, below.notes) == (("m", "not ready yet"), ("apart",), ("iris@champion",))
    assert candidate.ready
    assert below.ready


def test_a_model_shows_its_reference_but_never_where_a_file_lies() -> None:
    text = diagram("d", "Pieces", nodes_of({"m": OnnxModel("file:/srv/secret/place/iris.onnx")}))
    assert "iris.onnx" in text
    assert "secret" not in text


def test_stages_are_numbered_since_they_are_asked_in_turn() -> None:
    tree = nodes_of({"p": Pipeline(CountingModel("a"), CountingModel("b"), name="p")})
    assert [child.role for child in tree.children[0].children] == ["1", "2"]


def test_the_drawing_is_well_formed_svg_with_a_title_and_its_words_and_grows_with_the_text() -> None:
    root = ET.fromstring(diagram("key", "The pieces of x", nodes_of({"services": TREES["services"]})))
    (svg,) = root.iter("svg")
    assert svg.get("role") == "img"
    assert svg.get("aria-labelledby") == "key-title key-desc"
    assert [part.get("id") for part in svg[:2]] == ["key-title", "key-desc"]
    assert svg[1].text == in_words(nodes_of({"services": TREES["services"]}))
    assert "Service setosa (CountingModel setosa" in (svg[1].text or "")
    _, _, width, height = (svg.get("viewBox") or "").split()
    assert (svg.get("width"), svg.get("height")) == (f"{float(width) / 16:g}rem", f"{float(height) / 16:g}rem")
    assert "style=" not in ET.tostring(root, "unicode")


def test_names_are_text_and_never_markup() -> None:
    root = ET.fromstring(diagram("key", HOSTILE, nodes_of({HOSTILE: CountingModel(HOSTILE)})))
    assert {part.tag for part in root.iter()} == {"div", "svg", "title", "desc", "path", "g", "rect", "text"}
    assert f"{HOSTILE[: LONGEST - 1]}…" in [part.text for part in root.iter("text")]
    assert HOSTILE in [part.text for part in root.iter("title")]


def test_only_a_drawing_that_may_scroll_is_a_stop_of_the_tab_key() -> None:
    assert "tabindex" not in diagram("key", "small", nodes_of({"one": TREES["one"]}))
    assert "tabindex" in diagram("key", "wide", nodes_of({"wide": nested(10)}))
