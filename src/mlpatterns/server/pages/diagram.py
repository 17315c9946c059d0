"""Draws a tree of boxes as an inline SVG without a script. It has the page's colours and a description in words."""

from __future__ import annotations

from collections.abc import Sequence

from mlpatterns.server.pages.diagram_layout import LINE, PADDING, ROW_WIDTH, Box, Point, lines_of, plan
from mlpatterns.server.pages.diagram_nodes import Node, in_words
from mlpatterns.server.pages.html import Markup, element

__all__ = ["diagram"]

MARGIN = 2  # pixels around the drawing, so that lines at its edge are not cut
PIXELS_A_REM = 16
BASELINE = 0.72  # the position of the baseline, as a fraction of the height of a line


def diagram(key: str, title: str, tree: Node) -> Markup:
    """The drawing of `tree`, in a box that scrolls sideways if the drawing is too wide.

    Args:
        key: an id that is unique in the page, of letters, digits, underscores and hyphens.
        title: the name of the diagram for screen readers.
    """
    drawn = plan(tree)
    width, height = drawn.width + 2 * MARGIN, drawn.height + 2 * MARGIN
    picture = element(
        "svg",
        element("title", title, id=f"{key}-title"),
        element("desc", in_words(tree), id=f"{key}-desc"),
        *(_line(line) for line in drawn.lines),
        *(_box(box) for box in drawn.boxes),
        role="img",
        aria_labelledby=f"{key}-title {key}-desc",
        viewBox=f"{-MARGIN} {-MARGIN} {width:g} {height:g}",
        width=f"{width / PIXELS_A_REM:g}rem",
        height=f"{height / PIXELS_A_REM:g}rem",
    )
    # Only a box that may scroll can get the focus with the Tab key.
    focusable = element("div", picture, class_="diagram", tabindex="0", role="group", aria_label=f"{title}, scrolls")
    return focusable if width > ROW_WIDTH else element("div", picture, class_="diagram")


def _line(points: Sequence[Point]) -> Markup:
    """A line with an arrowhead at its end."""
    down = points[-1][0] == points[-2][0]
    head = "m-4 -6l4 6l4 -6" if down else "m-6 -4l6 4l-6 4"
    return element("path", d="M" + "L".join(f"{x:g} {y:g}" for x, y in points) + head)


def _box(box: Box) -> Markup:
    node = box.node
    border = element("rect", x=f"{box.x:g}", y=f"{box.y:g}", width=f"{box.width:g}", height=f"{box.height:g}", rx="7")
    first = box.y + PADDING / 2 + LINE * BASELINE
    lines = (
        element("text", line, x=f"{box.x + PADDING:g}", y=f"{first + number * LINE:g}", class_=number == 0 and "title")
        for number, line in enumerate(lines_of(node))
    )
    return element("g", border, *lines, class_=f"node {node.kind}{'' if node.ready else ' waiting'}")
