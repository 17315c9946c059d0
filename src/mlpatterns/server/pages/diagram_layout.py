"""Computes the positions of the boxes of a diagram, from the top down, in pixels at the default text size.

The pieces that a piece wraps are drawn in a row below it if the row fits on a phone. Otherwise they are drawn one below
another along a line, so that the diagram grows in height and does not need to scroll sideways.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mlpatterns.server.pages.diagram_nodes import Node

__all__ = ["LINE", "PADDING", "ROW_WIDTH", "Box", "Plan", "lines_of", "plan"]

ROW_WIDTH = 320  # the most pixels that boxes side by side may take
TITLE_CHARACTER, CHARACTER = 7.9, 7.3  # widths in a monospaced font of 13 and 12 pixels
LINE, PADDING = 18, 11
GAP, DROP, INDENT = 14, 24, 30  # between neighbours; between a piece and those below it; from a line to its boxes
LONGEST = 34  # the most characters of a line; the diagram's description has the full text

Point = tuple[float, float]
Line = tuple[Point, ...]


@dataclass(frozen=True)
class Box:
    """A node with its position and size."""

    node: Node
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Plan:
    """A drawing of `width` by `height` pixels. A line from above ends at `top`, a line from the left at `left`."""

    width: float
    height: float
    top: Point
    left: Point
    boxes: tuple[Box, ...]
    lines: tuple[Line, ...] = ()

    def moved(self, x: float, y: float) -> Plan:
        return replace(
            self,
            top=_moved(self.top, x, y),
            left=_moved(self.left, x, y),
            boxes=tuple(replace(box, x=box.x + x, y=box.y + y) for box in self.boxes),
            lines=tuple(tuple(_moved(point, x, y) for point in line) for line in self.lines),
        )


def plan(node: Node) -> Plan:
    """The drawing of `node` and all nodes below it. A border comes before the boxes that it surrounds."""
    below = [plan(child) for child in node.children]
    if node.kind == "service" and below:
        return _bordered(node, below)
    width, height = _size(node)
    if not below:
        return Plan(width, height, (width / 2, 0), (0, height / 2), (Box(node, 0, 0, width, height),))
    if len(below) == 1 or _row_width(below) <= ROW_WIDTH:
        return _beside(node, below)
    return _stacked(node, below)


def lines_of(node: Node) -> tuple[str, ...]:
    """The lines of text in a box, the title first."""
    title = f"{node.role}: {node.title}" if node.role else node.title
    shared = (f"shared ({node.shared})",) if node.shared else ()
    return tuple(_short(line) for line in (title, *node.notes, *shared))


def _beside(node: Node, below: Sequence[Plan]) -> Plan:
    """The box of `node` above a row of `below`. It is centred between the ends of its lines to the first and the last
    one."""
    own, height = _size(node)
    row = _in_row(below, 0, height + DROP)
    middle, turn = (row[0].top[0] + row[-1].top[0]) / 2, height + DROP / 2
    lines: list[Line] = []
    for placed in row:
        across = placed.top[0]
        begin = (middle, height) if not lines else (middle, turn)  # a line that is drawn twice looks bold
        lines.append((begin, placed.top) if across == middle else (begin, (middle, turn), (across, turn), placed.top))
    boxes = [Box(node, middle - own / 2, 0, own, height), *(box for placed in row for box in placed.boxes)]
    lines += [line for placed in row for line in placed.lines]
    drawn = Plan(_row_width(below), height + DROP + max(one.height for one in below), (middle, 0),
                 (middle - own / 2, height / 2), tuple(boxes), tuple(lines))  # fmt: skip
    shift = max(0, own / 2 - middle)  # the box may be wider than the row below it
    return replace(drawn.moved(shift, 0), width=max(drawn.width + shift, shift + middle + own / 2))


def _stacked(node: Node, below: Sequence[Plan]) -> Plan:
    """The box of `node`, and a line that leads down from it past all of `below`."""
    own, height = _size(node)
    boxes = [Box(node, 0, 0, own, height)]
    lines: list[Line] = []
    y, width, begin = height + GAP, own, (INDENT / 2, height)
    for one in below:
        placed = one.moved(INDENT, y)
        turn = (INDENT / 2, placed.left[1])
        lines += [(begin, turn, placed.left), *placed.lines]
        boxes += placed.boxes
        width, begin = max(width, INDENT + placed.width), turn
        y += placed.height + GAP
    return Plan(width, y - GAP, (own / 2, 0), (0, height / 2), tuple(boxes), tuple(lines))


def _bordered(node: Node, below: Sequence[Plan]) -> Plan:
    """A border around a part of the system that may run alone, with the name of the part at the top."""
    caption, height = _size(node)
    width = max(caption, _row_width(below) + 2 * PADDING)
    row = _in_row(below, (width - _row_width(below)) / 2, height)
    border = Box(node, 0, 0, width, height + max(one.height for one in below) + PADDING)
    boxes = (border, *(box for placed in row for box in placed.boxes))
    lines = tuple(line for placed in row for line in placed.lines)
    return Plan(width, border.height, (width / 2, 0), (0, height / 2), boxes, lines)


def _in_row(plans: Sequence[Plan], x: float, y: float) -> list[Plan]:
    """The plans side by side, beginning at (x, y)."""
    placed = []
    for one in plans:
        placed.append(one.moved(x, y))
        x += one.width + GAP
    return placed


def _row_width(plans: Sequence[Plan]) -> float:
    return sum(one.width for one in plans) + GAP * (len(plans) - 1)


def _size(node: Node) -> Point:
    lines = lines_of(node)
    widths = (_cells(line) * (CHARACTER if number else TITLE_CHARACTER) for number, line in enumerate(lines))
    return max(widths) + 2 * PADDING, LINE * len(lines) + PADDING


def _cells(text: str) -> int:
    """How many columns of a monospaced font `text` takes. Most Japanese characters take two."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _moved(point: Point, x: float, y: float) -> Point:
    return point[0] + x, point[1] + y
